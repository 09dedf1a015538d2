"""The openly licensed photographs that configs/bundled.py trains on.

Nine for training and four for testing come from Debian's package lomiri-wallpapers-16.04, the
other three and two from scikit-image (data/photographs.py):

    apt-get download lomiri-wallpapers-16.04
    dpkg -x lomiri-wallpapers-16.04_*.deb unpacked
    python -m msdi_jax.data.open_photographs --source unpacked --target photographs_1

`--part 2` adds thirteen to train on, from Debian's sddm-theme-maldives and from the themes of
WordPress, as an npm package carries them:

    apt-get download sddm-theme-maldives
    dpkg -x sddm-theme-maldives_*.deb unpacked
    npm pack @wp-playground/wordpress-builds@0.9.19
    tar -xzf wp-playground-wordpress-builds-0.9.19.tgz -C unpacked
    python -m msdi_jax.data.open_photographs --source unpacked --target photographs_2 --part 2

`--part 3` adds thirteen more, from Debian's palapeli-data and from the source of its
budgie-backgrounds 3.0 (pool/main/b/budgie-backgrounds):

    apt-get download palapeli-data
    dpkg -x palapeli-data_*.deb unpacked
    tar -xJf budgie-backgrounds_3.0.orig.tar.xz -C unpacked
    python -m msdi_jax.data.open_photographs --source unpacked --target photographs_3 --part 3

`--part 4` adds forty-three more, from Debian's gnome-taquin, puzzle-jigsaw and
endless-sky-high-dpi. The last is needed in version 0.11.0 of Debian unstable
(pool/main/e/endless-sky-high-dpi), since twenty-eight of them are missing in 0.9.8:

    apt-get download gnome-taquin puzzle-jigsaw
    for package in *.deb; do dpkg -x $package unpacked; done
    python -m msdi_jax.data.open_photographs --source unpacked --target photographs_4 --part 4

configs/bundled.py:deblur also trains on copies of every fourth of these with cables drawn across
them (data/synthesis/cables.py).

With `--val`, fifteen others of endless-sky-high-dpi replace the test photographs: choose among
trained weights by these, and test the chosen ones on the test photographs.

Weights trained on the training photographs may be distributed under CC BY 4.0, the strictest of
their licences. Photographs under CC BY-SA 4.0 are used for testing only.
"""

import argparse
import itertools
import operator
import sys
from pathlib import Path

from PIL import Image, ImageOps

from msdi_jax.data import photographs
from msdi_jax.data.photographs import Photograph, Split

# Size, px, at which a camera's smoothing and JPEG's blocks are no longer visible.
LONGEST_SIDE = 1600
_BY, _BY_SA, _ZERO, _PUBLIC = "CC BY 4.0", "CC BY-SA 4.0", "CC0", "public domain"
_LOMIRI = "usr/share/backgrounds"
_THEMES = "package/public/wp-nightly/wp-content/themes"
_SKY = "usr/share/games/endless-sky/plugins/endless-sky-high-dpi/images"
_JIGSAW = "usr/share/puzzle-jigsaw/samples"
_BUDGIE, _PALAPELI = "budgie-backgrounds-3.0/backgrounds", "usr/share/palapeli/collection"
_STOCKSNAP, _RAWPIXEL = "a photographer of stocksnap.io", "a photographer of rawpixel.com"
_PIXABAY, _PEXELS = "a photographer of pixabay.com", "a photographer of pexels.com"
_UNSPLASH, _UNKNOWN = "a photographer of unsplash.com, before June 2017", "unknown"
_UNNAMED = "a photographer of Budgie Backgrounds"
# Path, author and licence. The packages' other images are rendered, without colour, almost without
# detail or under another licence, according to each theme's readme.txt, each puzzle's .desktop file
# and the copyright file in the folder of Endless Sky's plugin.
_FIRST = {
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
_SECOND = {
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
_THIRD = {
    f"{_BUDGIE}/beacon-street-sunset.jpg": ("Matt Willett", _ZERO),
    f"{_BUDGIE}/blue-periwinkle.jpg": (_UNNAMED, _ZERO),
    f"{_BUDGIE}/canyon-wren.jpg": ("US National Park Service", _ZERO),
    f"{_BUDGIE}/casa-mila.jpg": (_UNNAMED, _ZERO),
    f"{_BUDGIE}/high-trestle-trail.jpg": ("Tony Webster", _ZERO),
    f"{_BUDGIE}/lake-sherburne.jpg": ("Jacob W. Frank", _ZERO),
    f"{_BUDGIE}/oakland-zoo-otters.jpg": ("Derrick Coetzee", _ZERO),
    f"{_BUDGIE}/perched-osprey.jpg": ("Jacob W. Frank", _ZERO),
    f"{_BUDGIE}/singaporean-cityscape.jpg": ("Romain Guy", _ZERO),
    f"{_BUDGIE}/tea-gardens.jpg": (_UNNAMED, _ZERO),
    f"{_PALAPELI}/cincinnati-bridge.jpg": ("Derek Jensen", _PUBLIC),
    f"{_PALAPELI}/citrus-fruits.jpg": ("US Department of Agriculture", _PUBLIC),
    f"{_PALAPELI}/european-honey-bee.jpg": ("John Severns", _PUBLIC),
}
_FOURTH = {
    f"{_SKY}/land/badlands1@2x.jpg": ("Jason Thompson", _PUBLIC),
    f"{_SKY}/land/badlands10@2x.jpg": ("Bernard Spragg", _ZERO),
    f"{_SKY}/land/canyon1@2x.jpg": ("Ana Filipa Neves", _PUBLIC),
    f"{_SKY}/land/canyon8@2x.jpg": ("Benjaimn Esteves", _PUBLIC),
    f"{_SKY}/land/city2@2x.jpg": ("Bango Architecture & Design", _ZERO),
    f"{_SKY}/land/city11@2x.jpg": ("a photographer of Burst", _ZERO),
    f"{_SKY}/land/city19@2x.jpg": (_PIXABAY, _ZERO),
    f"{_SKY}/land/city21@2x.jpg": ("Pedro Lastra", _ZERO),
    f"{_SKY}/land/city25@2x.jpg": ("Julia Caesar", _ZERO),
    f"{_SKY}/land/desert11@2x.jpg": ("Robert Murray", _PUBLIC),
    f"{_SKY}/land/fields13@2x.jpg": ("Jeff King", _PUBLIC),
    f"{_SKY}/land/fields14@2x.jpg": (_PIXABAY, _ZERO),
    f"{_SKY}/land/fog10@2x.jpg": (_PIXABAY, _ZERO),
    f"{_SKY}/land/forest7@2x.jpg": ("Eutah Mizushima", _PUBLIC),
    f"{_SKY}/land/forest9@2x.jpg": ("JJ Skys the Limit", _ZERO),
    f"{_SKY}/land/forest10@2x.jpg": ("Sarah Humer", _PUBLIC),
    f"{_SKY}/land/garden1@2x.jpg": ("Bonnie Moreland", _ZERO),
    f"{_SKY}/land/mountain28@2x.jpg": ("Matt Bango", _ZERO),
    f"{_SKY}/land/nasa3@2x.jpg": ("NASA", _PUBLIC),
    f"{_SKY}/land/nasa6@2x.jpg": ("NASA", _PUBLIC),
    f"{_SKY}/land/sea23@2x.jpg": ("Dan Stark", _PUBLIC),
    f"{_SKY}/land/snow24@2x.png": ("Kent Miller, US National Park Service", _PUBLIC),
    f"{_SKY}/land/space1@2x.jpg": ("NASA", _PUBLIC),
    f"{_SKY}/land/space5@2x.jpg": ("NASA", _PUBLIC),
    f"{_SKY}/land/station1@2x.jpg": ("NASA", _PUBLIC),
    f"{_SKY}/land/station9@2x.jpg": ("Dominik Martin", _ZERO),
    f"{_SKY}/land/station11@2x.jpg": ("a photographer of Burst", _ZERO),
    f"{_SKY}/land/station12@2x.jpg": ("US Office of War Information", _PUBLIC),
    f"{_SKY}/land/station14@2x.jpg": ("Ferdinand Stohr", _PUBLIC),
    f"{_SKY}/land/station21@2x.jpg": (_PIXABAY, _ZERO),
    f"{_SKY}/land/station22@2x.jpg": ("Matthew Henry", _ZERO),
    f"{_SKY}/land/station25@2x.jpg": ("Claudia Soraya", _PUBLIC),
    f"{_SKY}/land/station29@2x.jpg": (_PIXABAY, _ZERO),
    f"{_SKY}/land/station35@2x.jpg": (_PIXABAY, _ZERO),
    f"{_SKY}/land/station38@2x.jpg": ("Txllxt TxllxT", _ZERO),
    f"{_SKY}/land/station39@2x.jpg": ("Silvio Kundt", _PUBLIC),
    f"{_SKY}/land/station43@2x.jpg": (_PIXABAY, _ZERO),
    f"{_SKY}/land/water3@2x.jpg": ("Jacek Smoter", _PUBLIC),
    f"{_SKY}/land/water12@2x.jpg": ("Tricia Gray", _ZERO),
    f"{_SKY}/scene/loc7@2x.jpg": ("Library of Congress", _PUBLIC),
    f"{_JIGSAW}/cat-animal-cat-portrait-mackerel.jpg": (_PEXELS, _ZERO),
    f"{_JIGSAW}/pexels-photo-302304.jpeg": (_PEXELS, _ZERO),
    "usr/share/gnome-taquin/themes/cats/1-Tortoiseshell.jpg": ("Toyah", _PUBLIC),
}
# To choose among trained weights by, so that the test photographs remain for the test.
_VAL = {
    f"{_SKY}/land/beach0@2x.jpg": (_UNSPLASH, _PUBLIC),
    f"{_SKY}/land/beach13@2x.jpg": (_UNKNOWN, _ZERO),
    f"{_SKY}/land/canyon7@2x.jpg": (_UNSPLASH, _PUBLIC),
    f"{_SKY}/land/city4@2x.jpg": (_UNSPLASH, _PUBLIC),
    f"{_SKY}/land/city10@2x.jpg": (_UNSPLASH, _PUBLIC),
    f"{_SKY}/land/city23@2x.jpg": (_UNKNOWN, _ZERO),
    f"{_SKY}/land/desert14@2x.jpg": (_UNKNOWN, _ZERO),
    f"{_SKY}/land/fields5@2x.jpg": (_UNSPLASH, _PUBLIC),
    f"{_SKY}/land/forest3@2x.jpg": (_UNSPLASH, _PUBLIC),
    f"{_SKY}/land/lava6@2x.jpg": (_UNSPLASH, _PUBLIC),
    f"{_SKY}/land/mountain7@2x.jpg": (_UNSPLASH, _PUBLIC),
    f"{_SKY}/land/station7@2x.jpg": (_UNKNOWN, _ZERO),
    f"{_SKY}/land/station15@2x.jpg": (_UNKNOWN, _ZERO),
    f"{_SKY}/land/station16@2x.jpg": (_UNKNOWN, _ZERO),
    f"{_SKY}/land/station44@2x.jpg": (_PIXABAY, _ZERO),
}
# Each part of the training includes the earlier ones.
_PARTS = tuple(itertools.accumulate((_FIRST, _SECOND, _THIRD, _FOURTH), operator.or_))
_TEST = {
    f"{_LOMIRI}/Bridge_by_Sander_Klootwijk.jpg": ("Sander Klootwijk", _BY_SA),
    f"{_LOMIRI}/Dragonfly_by_Bolly.jpg": ("Bolly", _BY_SA),
    f"{_LOMIRI}/free_by_Peter_Nerlich.jpg": ("Peter Nerlich", _BY_SA),
    f"{_LOMIRI}/greentock_by_Peter_Nerlich.jpg": ("Peter Nerlich", _BY_SA),
}


def find_open_photographs(folder: str | Path, part: int = 1, *, val: bool = False) -> Split:
    """Return the photographs of the unpacked packages below `folder`, and of scikit-image.

    Args:
        folder: that the packages were unpacked to.
        part: of the training, 1 … 4, with 12, 25, 38 and 81 training photographs.
        val: return the fifteen val photographs instead of the six test photographs.

    Raises:
        ValueError: if some are missing.
    """
    folder = Path(folder).expanduser()
    training, others = _PARTS[part - 1], _VAL if val else _TEST
    if missing := sorted(end for end in training | others if not (folder / end).is_file()):
        raise ValueError(
            f"{', '.join(missing)} missing in {folder}: unpack the packages that "
            "data/open_photographs.py names into it"
        )
    train, test = (
        tuple(Photograph(Path(end).stem, folder / end, *source) for end, source in group.items())
        for group in (training, others)
    )
    embedded = photographs.embedded()
    return Split(train + embedded.train, test if val else test + embedded.test)


def gather(source: str | Path, target: str | Path, part: int = 1, *, val: bool = False) -> Path:
    """Write the photographs to the folders `train` and `test` of `target`, with their licences.

    Args: see `find_open_photographs`; `source` is its `folder`.

    Raises:
        ValueError: if some are missing, or `target` is not empty.
    """
    split, target = find_open_photographs(source, part, val=val), Path(target).expanduser()
    if target.exists() and any(target.iterdir()):
        raise ValueError(f"{target} is not empty: choose another folder")
    lines = []
    for side, group in (("train", split.train), ("test", split.test)):
        (target / side).mkdir(parents=True, exist_ok=True)
        for photo in group:
            reduce(photo.path, target / side / f"{photo.name}.png")
            lines.append(f"{side}/{photo.name}.png: {photo.author}, {photo.licence}\n")
    text = f"Reduced to at most {LONGEST_SIDE} px, otherwise unchanged.\n\n{''.join(lines)}"
    (target / "LICENCES.txt").write_text(text)
    return target


def reduce(source: Path, target: Path) -> None:
    """Write a photograph upright and reduced to `LONGEST_SIDE`, px."""
    with Image.open(source) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX, reducing_gap=None)
    upright.save(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", required=True, help="folder that the packages are unpacked to")
    parser.add_argument("--target", required=True, help="new folder")
    parts = range(1, len(_PARTS) + 1)
    parser.add_argument("--part", type=int, choices=parts, default=1, help="of the training")
    parser.add_argument("--val", action="store_true", help="val photographs instead of test ones")
    options = parser.parse_args()
    try:
        print(gather(options.source, options.target, options.part, val=options.val))
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
