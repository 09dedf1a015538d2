"""Batches of a stage: random training crops by step, and one fixed batch of val crops."""

import dataclasses
from collections.abc import Mapping, Sequence

import grain
import ml_collections
from jax.sharding import Mesh

from msdi_jax.data import pipeline
from msdi_jax.data.augment import Augmentation
from msdi_jax.data.photographs import find_photographs
from msdi_jax.data.records import read_settings
from msdi_jax.data.synthesis.shared_blur import SharedBlurPairs
from msdi_jax.data.validation import val_photographs
from msdi_jax.runtime.mesh import batch_part, over_batch, place, replicated
from msdi_jax.training.stage import Batch


def val_batch(
    source: Sequence[Mapping], settings: ml_collections.ConfigDict, mesh: Mesh
) -> Batch | None:
    """Return fixed crops of the val records, on the devices; None if there are no val records.

    If their number is not a multiple of the number of devices, each device holds all of them.
    """
    if not len(source):
        return None
    context = settings.get("context", 0)
    batch = pipeline.centre_crops(source, settings.crop, settings.val_images, context)
    even = len(batch["blurry"]) % mesh.shape["data"] == 0
    sharding = over_batch(mesh) if even else replicated(mesh)
    return place(batch, dict.fromkeys(batch, sharding))


def train_batches(
    source: Sequence[Mapping],
    config: ml_collections.ConfigDict,
    settings: ml_collections.ConfigDict,
    mesh: Mesh,
) -> grain.MapDataset:
    """Return the data set of training batches by step: this process's part of each.

    Args:
        source: the training records; not read if `settings.shared_blur` is on.
        config: the run's configuration.
        settings: the stage's section of it.
        mesh: the devices that share the batch.
    """
    part, parts = batch_part(mesh)
    common = {
        "batch_size": settings.batch_size,
        "seed": config.seed,
        "process": part,
        "processes": parts,
    }
    augmentation = Augmentation(**config.augmentation)
    if settings.get("shared_blur"):
        pairs = shared_blur_pairs(config, settings.crop)
        # `pairs` draws which pairs have no blur, the same for both crops of a pair.
        augmentation = dataclasses.replace(augmentation, identity=0.0)
        return pipeline.batches_of_crops(pairs, augmentation=augmentation, **common)
    return pipeline.batches(
        source,
        crop=settings.crop,
        context=settings.get("context", 0),
        skip_damaged=config.skip_damaged,
        augmentation=augmentation,
        **common,
    )


def shared_blur_pairs(config: ml_collections.ConfigDict, crop: int) -> SharedBlurPairs:
    """Return shared-blur pairs of the training photographs that are not val photographs."""
    settings = read_settings(config.dataset.to_dict())
    photographs = find_photographs(settings.photographs).train
    val = val_photographs((photo.name for photo in photographs), config.val)
    photographs = [photo for photo in photographs if photo.name not in val]
    augmentation = config.augmentation
    return SharedBlurPairs(photographs, settings, crop, augmentation.windows, augmentation.identity)
