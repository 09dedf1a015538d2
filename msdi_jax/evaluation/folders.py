"""Plain folders of images: pairs to evaluate on, and ready outputs; matched by their names."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from msdi_jax.evaluation.test_sets import Pairs, Size, digest
from msdi_jax.restoration import image_io


class FolderPairs(Sequence):
    """Records of a folder of sharp images and, if given, one of blurry images.

    Args:
        sharp: folder.
        blurry: folder; with templates, it may be the same one.
        templates: "blurry" and "sharp" → name template, see `data/paired/name_template.py`, which
            names the records. Without, records are named by the path of the sharp image in its
            folder, without suffix if that is unique, and the others match by `match_images`.

    Raises:
        ValueError: for a folder without images, an unusable template, and images that do not match
            (all are listed).
    """

    def __init__(
        self, sharp: Path, blurry: Path | None = None, templates: Mapping[str, str] | None = None
    ):
        self.files = (
            _sorted_pairs(sharp, blurry, templates) if templates else {"sharp": _named(sharp)}
        )
        self.names = list(self.files["sharp"])
        self.sizes = [_size(path) for path in self.files["sharp"].values()]
        if blurry is not None and templates:
            wanted = self.names, self.sizes, templates["blurry"]
            self.files["blurry"] = _checked(blurry, self.files["blurry"], *wanted)
        elif blurry is not None:
            self.files["blurry"] = match_images(blurry, self.names, self.sizes)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict:
        name = self.names[index]
        pictures = {kind: image_io.read(files[name]) for kind, files in self.files.items()}
        return {"name": name, **pictures}


def folder_pairs(
    sharp: Path, blurry: Path | None = None, templates: Mapping[str, str] | None = None
) -> Pairs:
    """The pairs of plain folders, see `FolderPairs`."""
    source = FolderPairs(sharp, blurry, templates)
    folder = sharp.resolve()
    files = [path for files in source.files.values() for path in files.values()]
    identity = {"dataset": f"{folder.parent.name}/{folder.name}", "configuration": "", "split": ""}
    return Pairs(source, source.names, source.sizes, identity | {"pairs": digest(files)})


def list_images(folder: Path) -> list[Path]:
    """The images below a folder, sorted.

    Raises:
        ValueError: when there are none.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: give one that holds images")
    images = image_io.below(folder)
    if not images:
        raise ValueError(f"{folder} holds no images (files in {', '.join(image_io.READABLE)})")
    return images


def match_images(
    folder: Path, names: Sequence[str], sizes: Sequence[Size], template: str | None = None
) -> dict[str, Path]:
    """The image of every name in a folder of exactly these images.

    Equal names match first, then names without the last suffix of the file, then without that of
    the name too, then without two suffixes of the file, as of `a.jpg.png` made from `a.jpg`.

    Args:
        folder: with files of any suffix of `image_io.READABLE`.
        names: of records.
        sizes: that the images must have.
        template: of the files' names, instead of the rule above.

    Raises:
        ValueError: listing every image that is missing, ambiguous, of another size, unreadable, or
            too many.
    """
    if template:
        (files,) = _sorted(folder, template)
        return _checked(folder, files, names, sizes, template)
    files, ambiguous = _paired(_paths(folder), names)
    return _checked(folder, files, names, sizes, ambiguous=ambiguous)


def _paths(folder: Path) -> dict[str, Path]:
    """Path in the folder → image."""
    return {image.relative_to(folder).as_posix(): image for image in list_images(folder)}


def _named(folder: Path) -> dict[str, Path]:
    """Name → image: its path in the folder, without suffix where that means no other image."""
    images = _paths(folder)
    stems = Counter(map(_stem, images))
    return {
        path if stems[_stem(path)] > 1 or _stem(path) in images else _stem(path): image
        for path, image in images.items()
    }


def _stem(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in image_io.READABLE else name


def _sorted_pairs(
    sharp: Path, blurry: Path | None, templates: Mapping[str, str]
) -> dict[str, dict[str, Path]]:
    """ "blurry", if given, and "sharp" → name → image, by templates."""
    kinds = ["sharp"] if blurry is None else ["blurry", "sharp"]
    if blurry is not None and blurry.is_dir() and blurry.samefile(sharp):
        files = _sorted(sharp, *(templates[kind] for kind in kinds))
    else:
        folders = {"blurry": blurry, "sharp": sharp}
        files = [_sorted(folders[kind], templates[kind])[0] for kind in kinds]
    return dict(zip(kinds, files, strict=True))


def _sorted(folder: Path, *templates: str) -> list[dict[str, Path]]:
    # Here: evaluation loads without data.
    from msdi_jax.data.paired.name_template import NameTemplate, sort_files

    return sort_files(folder, list_images(folder), *map(NameTemplate, templates))


def _paired(
    images: Mapping[str, Path], names: Sequence[str]
) -> tuple[dict[str, Path], dict[str, str]]:
    """Match images by their path to names, see `match_images`.

    Returns:
        Name → image, with images left over under their path; ambiguous name → problem.
    """
    matched: dict[str, Path] = {}
    ambiguous: dict[str, str] = {}
    left, wanted = set(images), set(names)
    rules = ((str, str), (_stem, str), (_stem, _stem), (lambda path: _stem(_stem(path)), _stem))
    for key_of_image, key_of_name in rules:
        files, same = _grouped(left, key_of_image), _grouped(wanted, key_of_name)
        for key in files.keys() & same.keys():
            if len(files[key]) == len(same[key]) == 1:
                matched[same[key][0]] = images[files[key][0]]
            else:
                several = " and ".join(str(images[path]) for path in files[key])
                problem = f"ambiguous: {several} for {' and '.join(same[key])}: rename one"
                ambiguous |= dict.fromkeys(same[key], problem)
            left -= {*files[key]}
            wanted -= {*same[key]}
    return matched | {path: images[path] for path in left}, ambiguous


def _grouped(names: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups = defaultdict(list)
    for name in sorted(names):
        groups[key(name)].append(name)
    return groups


def _checked(
    folder: Path,
    files: Mapping[str, Path],
    names: Sequence[str],
    sizes: Sequence[Size],
    template: str = "",
    ambiguous: Mapping[str, str] | None = None,
) -> dict[str, Path]:
    """The files of all names; raises ValueError with all problems, see `match_images`."""
    problems = {*(ambiguous or {}).values()}
    for name, size in zip(names, sizes, strict=True):
        if name in files:
            problems |= _size_problems(files[name], size)
        elif name not in (ambiguous or {}):
            named = f"{name}, named {template}" if template else f"{_stem(name)}.png"
            problems.add(f"missing: {named}")
    extra = files.keys() - {*names}
    problems |= {f"extra: {files[name]} belongs to no image of the set" for name in extra}
    if problems:
        raise ValueError(
            f"{folder} does not match the {len(names)} images, nothing was scored; fix these "
            f"{len(problems)}:\n" + "\n".join(sorted(problems))
        )
    return {name: files[name] for name in names}


def _size(path: Path) -> Size:
    return Size(*image_io.read_size(path))


def _size_problems(path: Path, size: Size) -> set[str]:
    try:
        actual = _size(path)
    except ValueError as error:
        return {f"unreadable: {error}"}
    return (
        {f"size: {path} is {actual} px and its sharp image {size} px"} if actual != size else set()
    )
