import os
import stat
from pathlib import Path

import pytest

from msdi_jax.runtime.atomic_write import atomic_write

# The longest name that file systems allow, in bytes.
LONGEST = "ü" * 125 + "a.txt"


def put(place, text):
    place.write_text(text)


def put_folder(place, text):
    place.mkdir()
    (place / "inside").write_text(text)


def content(path):
    return (path / "inside" if path.is_dir() else path).read_text()


@pytest.mark.parametrize("write", [put, put_folder])
@pytest.mark.parametrize("name", ["a.txt", "a", ".a", LONGEST, "a." + "b" * 253])
def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path, write, name):
    path = tmp_path / name
    for text in ("first", "second"):
        with atomic_write(path) as temporary:
            write(temporary, text)
            assert not path.exists() or content(path) == "first"
        assert content(path) == text
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", [put, put_folder])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("old", [False, True])
def test_an_interruption_changes_nothing(tmp_path, write, error, old):
    path = tmp_path / "a.txt"
    if old:
        write(path, "old")

    def interrupted():
        with atomic_write(path) as temporary:
            write(temporary, "half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert [content(path) for path in tmp_path.iterdir()] == ["old"] * old


def test_an_interruption_between_two_renames_restores_the_old_folder(tmp_path, monkeypatch):
    path, rename = tmp_path / "a", Path.rename
    put_folder(path, "old")
    outcomes = iter([rename, KeyboardInterrupt, rename])

    def scripted(self, target):
        if (outcome := next(outcomes)) is not rename:
            raise outcome
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", scripted)
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as temporary:
        put_folder(temporary, "new")
    assert content(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_permissions_follow_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        for name, write in (("file", put), ("folder", put_folder)):
            with atomic_write(tmp_path / name) as temporary:
                write(temporary, "new")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file", "folder")]
    assert modes == [0o666 & ~mask, 0o777 & ~mask]


def test_the_suffix_is_that_of_the_target(tmp_path):
    with atomic_write(tmp_path / "a.png") as temporary:
        assert temporary.suffix == ".png"
        temporary.touch()
