"""The splits of a run's data set: train, val and test."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import ml_collections

from msdi_jax.data import pipeline, records, validation
from msdi_jax.data.readable import SkipDamaged
from msdi_jax.evaluation import protocols, test_sets
from msdi_jax.models import DIRECTORIES


class Splits(NamedTuple):
    """Records for training, for validation during training, and for the final test.

    Attributes:
        train: records with uint8 RGB images "blurry" and "sharp".
        val: records of the training split that are not trained on; empty with `config.val=0`.
        test: records of the test split, only for the final evaluation.
        configuration: identifies the prepared set, see `test_sets.configuration`.
        sizes: "WIDTH×HEIGHT" of the training frames in px → their number, if recorded.
        test_sizes: the same of the test frames.
    """

    train: Sequence[Mapping]
    val: Sequence[Mapping]
    test: Sequence[Mapping]
    configuration: str
    sizes: Mapping[str, int] = MappingProxyType({})
    test_sizes: Mapping[str, int] = MappingProxyType({})


def open_splits(config: ml_collections.ConfigDict) -> Splits:
    """Open the data set `config.dataset`; prepare it first if it does not exist.

    Raises:
        ValueError: a field of `config.dataset` is unknown or wrong, the set cannot be prepared, or
            its training split has no more than `config.val` photographs.
    """
    path = records.prepare_set(config.dataset.to_dict())
    training = records.open_split(path, "train")
    photographs = records.training_photographs(path)
    train, val = validation.split_off_val(training, photographs, config.val)
    return Splits(
        train=train,
        val=SkipDamaged(val, skip=config.skip_damaged),
        test=SkipDamaged(records.open_split(path, "test")),
        configuration=test_sets.configuration(path),
        sizes=records.recorded_sizes(path, "train"),
        test_sizes=records.recorded_sizes(path, "test"),
    )


def check_sizes(config: ml_collections.ConfigDict, workdir: Path, splits: Splits) -> None:
    """Check that the crops of all unfinished stages fit, and that test frames can be scored.

    Raises:
        ValueError: frames are too small; names one of them, or their number.
    """
    _check_test(config, splits)
    for name in config.stages:
        settings = config[name]
        if (workdir / DIRECTORIES[name]).exists():
            continue
        context = settings.get("context", 0)
        if splits.val:
            pipeline.centre_crops(splits.val, settings.crop, settings.val_images, context)
        if not (settings.get("shared_blur") or config.skip_damaged):
            crop = pipeline.RandomCrop(settings.crop, context)
            crop.check(SkipDamaged(splits.train)[0])
            _check_frames(splits.sizes, crop)


def _check_test(config: ml_collections.ConfigDict, splits: Splits) -> None:
    scoring = config.evaluation.protocols
    if _smaller(splits.test_sizes, protocols.smallest_side(scoring)):
        names, sizes = test_sets.names_and_sizes(splits.test)
        protocols.check_sizes(dict(zip(names, sizes, strict=True)), scoring)


def _smaller(sizes: Mapping[str, int], side: int) -> dict[str, int]:
    return {size: n for size, n in sizes.items() if min(map(int, size.split("×"))) < side}


def _check_frames(sizes: Mapping[str, int], crop: pipeline.RandomCrop) -> None:
    """Raise ValueError if any frame is too small.

    Frames smaller than a tile are stored whole, and the first record need not be one of them.
    """
    if small := _smaller(sizes, crop.size):
        counts = ", ".join(f"{count} of {size} px" for size, count in small.items())
        raise ValueError(
            f"training frames are smaller than the {crop.size} px that a crop of {crop.crop} px "
            f"needs ({counts}): lower the crop, or remove these pairs and prepare the rest"
        )
