"""Tiny sets in the layouts of the downloads, for the tests of builders and commands."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

REALBLUR = {
    "J": "RealBlur-J_ECC_IMCORR_centroid_itensity_ref",
    "R": "RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref",
}


def picture(seed, height=96, width=112):
    """Smooth noise, different for every seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def realblur(root: Path, kind="J", height=96, width=112):
    """Three training and two test pairs of three scenes; pair i has the pictures i and 100 + i."""
    pairs = [("train", 1, 1), ("train", 1, 2), ("train", 7, 1), ("test", 2, 1), ("test", 2, 3)]
    lists = {"train": [], "test": []}
    for index, (part, scene, number) in enumerate(pairs):
        folder = f"{REALBLUR[kind]}/scene{scene:03d}"
        sharp, blurry = f"{folder}/gt/gt_{number}.png", f"{folder}/blur/blur_{number}.png"
        save(root / blurry, picture(index, height, width))
        save(root / sharp, picture(100 + index, height, width))
        lists[part].append(f"{sharp} {blurry}")
    for part, lines in lists.items():
        (root / f"RealBlur_{kind}_{part}_list.txt").write_text("\n".join(lines) + "\n")
    return root


def hide(root: Path, height=96, width=112):
    """Three training and two test pairs; pair i has the pictures i and 100 + i."""
    folders = ["train", "train", "train", "test/test-close-ups", "test/test-long-shot"]
    for index, folder in enumerate(folders):
        save(root / folder / f"{index}fromGOPR0950.png", picture(index, height, width))
        save(root / "GT" / f"{index}fromGOPR0950.png", picture(100 + index, height, width))
    return root


def gopro(root: Path, height=96, width=112):
    """Three training and two test pairs; pair i has pictures i, 100 + i and 200 + i (gamma)."""
    pairs = [("train", "GOPR0372_07_00")] * 2 + [("train", "GOPR0374_11_01")]
    pairs += [("test", "GOPR0384_11_00")] * 2
    for index, (part, sequence) in enumerate(pairs):
        for first, kind in ((0, "blur"), (100, "sharp"), (200, "blur_gamma")):
            path = root / part / sequence / kind / f"{index + 47:06d}.png"
            save(path, picture(first + index, height, width))
    return root


def photographs(root: Path, height=300, width=340):
    """Four photographs to train on and one to test on, in train/ and test/."""
    for part, count in (("train", 4), ("test", 1)):
        for index in range(count):
            save(root / part / f"{part}{index}.png", picture(len(part) + index, height, width))
    return root


def pairs(root: Path, height=96, width=112):
    """Five pairs in blurry/ and sharp/; pair i has the pictures i and 100 + i."""
    for index in range(5):
        save(root / "blurry" / f"{index}.png", picture(index, height, width))
        save(root / "sharp" / f"{index}.png", picture(100 + index, height, width))
    return root
