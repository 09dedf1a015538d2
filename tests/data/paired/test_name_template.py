from pathlib import Path

import pytest

from msdi_jax.data.paired.name_template import NameTemplate, sort_files


@pytest.mark.parametrize(
    ("template", "path", "name"),
    [
        ("{}_blur", "im1_blur", "im1"),
        ("{}_blur", "scene/im1_blur", "scene/im1"),
        ("blur_{}", "scene/blur_im1", "scene/im1"),
        ("a{}b", "aXb", "X"),
        ("{}/blur", "set/im1/blur", "set/im1"),
        ("{}", "x/im1", "x/im1"),
        ("{}_blur_blur", "im_blur_blur", "im"),
    ],
)
def test_names_and_paths_are_inverses(template, path, name):
    assert NameTemplate(template).name_of(path) == name
    assert NameTemplate(template).path_of(name) == path


@pytest.mark.parametrize(
    ("template", "path"),
    [("{}_blur", "im1_sharp"), ("{}_blur", "_blur"), ("ab{}bc", "abc"), ("{}/blur", "blur")],
)
def test_other_paths_do_not_fit(template, path):
    assert NameTemplate(template).name_of(path) is None


@pytest.mark.parametrize("text", ["blur", "", "{}_{}", "{0}_blur"])
def test_one_place_is_needed(text):
    with pytest.raises(ValueError, match=r"must have one \{\}.* like \"\{\}_blur\""):
        NameTemplate(text)


def test_the_longest_template_decides():
    files = [Path("f/im1.png"), Path("f/im1_blur.png")]
    blurry, sharp = sort_files(Path("f"), files, NameTemplate("{}_blur"), NameTemplate("{}"))
    assert blurry == {"im1": files[1]}
    assert sharp == {"im1": files[0]}


def test_files_that_fit_nothing_and_equal_names_are_listed():
    files = [Path("f/a_blur.jpg"), Path("f/a_blur.png"), Path("f/b.png")]
    with pytest.raises(ValueError, match="2 files of f cannot be paired") as error:
        sort_files(Path("f"), files, NameTemplate("{}_blur"), NameTemplate("{}_sharp"))
    assert str(error.value).splitlines()[1:] == [
        "f/a_blur.png and f/a_blur.jpg have one name, a",
        "f/b.png does not fit {}_blur or {}_sharp",
    ]
