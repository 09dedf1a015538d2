"""The openly licensed photographs that configs/box_reblur.py and box_deblur.py are for.

Nine for training and four for testing come from Debian's package lomiri-wallpapers-16.04, the
other three and two from scikit-image (data/photographs.py):

    apt-get download lomiri-wallpapers-16.04
    dpkg -x lomiri-wallpapers-16.04_*.deb wallpapers
    python -m data.open_photographs --source wallpapers --target open_photographs

Weights learnt from the training photographs can be given away under CC BY 4.0, since none of them
asks for more. Those under CC BY-SA 4.0 serve for testing only.
"""

import argparse
import sys
from pathlib import Path

from PIL import Image, ImageOps

from data import photographs
from data.photographs import Photograph, Split

# Reduced to this, px, a camera's own smoothing and JPEG's blocks no longer pass for sharpness.
LONGEST_SIDE = 1600
_BY, _BY_SA, _ZERO = "CC BY 4.0", "CC BY-SA 4.0", "CC0"
# The package's other pictures of that year are a rendered pattern and a texture.
_TRAIN = {
    "aitzgorri_by_Aitzol_Berasategi": ("Aitzol Berasategi", _BY),
    "friends_by_Aitzol_Berasategi": ("Aitzol Berasategi", _BY),
    "life_by_Aitzol_Berasategi": ("Aitzol Berasategi", _BY),
    "picosdeeuropa_by_Aitzol_Berasategi": ("Aitzol Berasategi", _BY),
    "Picture_0B_by_freespace": ('Trevor "Freespace"', _BY),
    "Picture_1A_by_freespace": ('Trevor "Freespace"', _BY),
    "seeding_by_Clements_Engelhardt": ("Clemens Engelhardt", _ZERO),
    "sunset_by_Aitzol_Berasategi": ("Aitzol Berasategi", _BY),
    "Wine_by_Jakkub_Mede": ("Jakub Mede", _BY),
}
_TEST = {
    "Bridge_by_Sander_Klootwijk": ("Sander Klootwijk", _BY_SA),
    "Dragonfly_by_Bolly": ("Bolly", _BY_SA),
    "free_by_Peter_Nerlich": ("Peter Nerlich", _BY_SA),
    "greentock_by_Peter_Nerlich": ("Peter Nerlich", _BY_SA),
}


def find(folder: str | Path) -> Split:
    """The photographs of the unpacked package below `folder`, and those of scikit-image.

    Raises:
        ValueError: when some are missing.
    """
    files = {path.stem: path for path in sorted(Path(folder).rglob("*.jpg"))}
    if missing := sorted((_TRAIN.keys() | _TEST.keys()) - files.keys()):
        raise ValueError(
            f"{folder} lacks {', '.join(missing)}: give the folder that lomiri-wallpapers-16.04 "
            "was unpacked to"
        )
    train, test = (
        tuple(Photograph(name, files[name], *source) for name, source in group.items())
        for group in (_TRAIN, _TEST)
    )
    embedded = photographs.embedded()
    return Split(train + embedded.train, test + embedded.test)


def gather(source: str | Path, target: str | Path) -> Path:
    """Writes the photographs to the folders `train` and `test` of `target`, with their licences.

    Raises:
        ValueError: when some are missing, or `target` holds anything already.
    """
    split, target = find(source), Path(target)
    if target.exists() and any(target.iterdir()):
        raise ValueError(f"{target} is not empty: choose another folder")
    lines = []
    for part, group in (("train", split.train), ("test", split.test)):
        (target / part).mkdir(parents=True, exist_ok=True)
        for photo in group:
            reduce(photo.path, target / part / f"{photo.name}.png")
            lines.append(f"{part}/{photo.name}.png: {photo.author}, {photo.licence}\n")
    text = f"Reduced to at most {LONGEST_SIDE} px, otherwise unchanged.\n\n{''.join(lines)}"
    (target / "LICENCES.txt").write_text(text)
    return target


def reduce(source: Path, target: Path) -> None:
    """Writes a photograph upright, and no larger than `LONGEST_SIDE`."""
    with Image.open(source) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX, reducing_gap=None)
    upright.save(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", required=True, help="unpacked lomiri-wallpapers-16.04")
    parser.add_argument("--target", required=True, help="new folder")
    arguments = parser.parse_args()
    try:
        print(gather(arguments.source, arguments.target))
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
