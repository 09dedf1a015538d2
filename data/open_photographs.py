"""The openly licensed photographs that configs/box_*.py and twins.py are for.

Nine for training and four for testing come from Debian's package lomiri-wallpapers-16.04, the
other three and two from scikit-image (data/photographs.py):

    apt-get download lomiri-wallpapers-16.04
    dpkg -x lomiri-wallpapers-16.04_*.deb unpacked
    python -m data.open_photographs --source unpacked --target open_photographs

configs/box_longer.py has thirteen more to train on, from Debian's sddm-theme-maldives and from the
themes of WordPress, as an npm package carries them:

    apt-get download sddm-theme-maldives
    dpkg -x sddm-theme-maldives_*.deb unpacked
    npm pack @wp-playground/wordpress-builds@0.9.19
    tar -xzf wp-playground-wordpress-builds-0.9.19.tgz -C unpacked
    python -m data.open_photographs --source unpacked --target more_photographs --more

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
_LOMIRI = "usr/share/backgrounds"
_THEMES = "package/public/wp-nightly/wp-content/themes"
_STOCKSNAP, _RAWPIXEL = "a photographer of stocksnap.io", "a photographer of rawpixel.com"
# Where each one lies, author and licence. The packages' other pictures are rendered, without
# colour, almost without detail or under another licence, as each theme's readme.txt says.
_TRAIN = {
    f"{_LOMIRI}/aitzgorri_by_Aitzol_Berasategi.jpg": ("Aitzol Berasategi", _BY),
    f"{_LOMIRI}/friends_by_Aitzol_Berasategi.jpg": ("Aitzol Berasategi", _BY),
    f"{_LOMIRI}/life_by_Aitzol_Berasategi.jpg": ("Aitzol Berasategi", _BY),
    f"{_LOMIRI}/picosdeeuropa_by_Aitzol_Berasategi.jpg": ("Aitzol Berasategi", _BY),
    f"{_LOMIRI}/Picture_0B_by_freespace.jpg": ('Trevor "Freespace"', _BY),
    f"{_LOMIRI}/Picture_1A_by_freespace.jpg": ('Trevor "Freespace"', _BY),
    f"{_LOMIRI}/seeding_by_Clements_Engelhardt.jpg": ("Clemens Engelhardt", _ZERO),
    f"{_LOMIRI}/sunset_by_Aitzol_Berasategi.jpg": ("Aitzol Berasategi", _BY),
    f"{_LOMIRI}/Wine_by_Jakkub_Mede.jpg": ("Jakub Mede", _BY),
}
_MORE = {
    "usr/share/sddm/themes/maldives/background.jpg": ("Nevit Dilmen", "CC BY 3.0"),
    f"{_THEMES}/twentyten/images/patterns/pattern-barn.jpg": ("Bonnie Moreland", _ZERO),
    f"{_THEMES}/twentyeleven/images/patterns/pattern-flower.jpg": ("Bernard Spragg", _ZERO),
    f"{_THEMES}/twentyfourteen/images/bridge.jpg": (_STOCKSNAP, _ZERO),
    f"{_THEMES}/twentyfourteen/images/street.jpg": (_STOCKSNAP, _ZERO),
    f"{_THEMES}/twentyfourteen/images/sunset.jpg": (_STOCKSNAP, _ZERO),
    f"{_THEMES}/twentyfifteen/assets/pier-seagull.jpg": (_STOCKSNAP, _ZERO),
    f"{_THEMES}/twentyfifteen/assets/pier-seagulls.jpg": (_STOCKSNAP, _ZERO),
    f"{_THEMES}/twentytwentyfour/assets/images/abstract-geometric-art.webp": (_RAWPIXEL, _ZERO),
    f"{_THEMES}/twentytwentyfour/assets/images/art-gallery.webp": (_RAWPIXEL, _ZERO),
    f"{_THEMES}/twentytwentyfour/assets/images/building-exterior.webp": (_RAWPIXEL, _ZERO),
    f"{_THEMES}/twentytwentyfour/assets/images/museum.webp": (_RAWPIXEL, _ZERO),
    f"{_THEMES}/twentytwentyfour/assets/images/tourist-and-building.webp": (_RAWPIXEL, _ZERO),
}
_TEST = {
    f"{_LOMIRI}/Bridge_by_Sander_Klootwijk.jpg": ("Sander Klootwijk", _BY_SA),
    f"{_LOMIRI}/Dragonfly_by_Bolly.jpg": ("Bolly", _BY_SA),
    f"{_LOMIRI}/free_by_Peter_Nerlich.jpg": ("Peter Nerlich", _BY_SA),
    f"{_LOMIRI}/greentock_by_Peter_Nerlich.jpg": ("Peter Nerlich", _BY_SA),
}


def find(folder: str | Path, more: bool = False) -> Split:
    """The photographs of the unpacked packages below `folder`, and those of scikit-image.

    Args:
        folder: that the packages were unpacked to.
        more: whether to take the thirteen more, too.

    Raises:
        ValueError: when some are missing.
    """
    folder = Path(folder)
    trained_on = _TRAIN | _MORE if more else _TRAIN
    if missing := sorted(end for end in trained_on | _TEST if not (folder / end).is_file()):
        raise ValueError(
            f"{folder} lacks {', '.join(missing)}: unpack into it the packages that "
            "data/open_photographs.py names"
        )
    train, test = (
        tuple(Photograph(Path(end).stem, folder / end, *source) for end, source in group.items())
        for group in (trained_on, _TEST)
    )
    embedded = photographs.embedded()
    return Split(train + embedded.train, test + embedded.test)


def gather(source: str | Path, target: str | Path, more: bool = False) -> Path:
    """Writes the photographs to the folders `train` and `test` of `target`, with their licences.

    Raises:
        ValueError: when some are missing, or `target` holds anything already.
    """
    split, target = find(source, more), Path(target)
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
    parser.add_argument("--source", required=True, help="folder that the packages are unpacked to")
    parser.add_argument("--target", required=True, help="new folder")
    parser.add_argument("--more", action="store_true", help="thirteen more to train on")
    arguments = parser.parse_args()
    try:
        print(gather(arguments.source, arguments.target, arguments.more))
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
