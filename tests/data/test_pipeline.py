from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from msdi_jax.data.pipeline import batches, crop_grid, iterate

GOLDEN = Path(__file__).parents[1] / "golden" / "protocol.npz"


class Source:
    """Pairs whose pixels hold record, row and column; the sharp image is 1 brighter."""

    def __init__(self, records=5, height=24, width=32):
        self.records, self.height, self.width = records, height, width

    def __len__(self):
        return self.records

    def __getitem__(self, index):
        y, x = np.mgrid[: self.height, : self.width]
        blurry = np.stack([np.full_like(y, 10 * index), y, x], axis=-1).astype(np.uint8)
        return {"blurry": blurry, "sharp": blurry + 1, "name": f"record {index}".encode()}


def test_batches_are_paired_crops():
    steps = batches(Source(), batch_size=4, crop=16, seed=0)
    batch = steps[0]
    assert set(batch) == {"blurry", "sharp"}
    assert batch["blurry"].shape == (4, 16, 16, 3)
    assert batch["blurry"].dtype == np.uint8
    for step in range(20):
        batch = steps[step]
        assert (batch["sharp"] - batch["blurry"] == 1).all()


def test_every_orientation_and_border_occurs_evenly():
    steps = batches(Source(), batch_size=40, crop=16, seed=1)
    crops = np.concatenate([steps[step]["blurry"] for step in range(10)]).astype(int)
    down, right = crops[:, 1, 0] - crops[:, 0, 0], crops[:, 0, 1] - crops[:, 0, 0]
    # Steps of (row, column) per pixel down and right: 2 × 2 × 2 orientations.
    kinds, counts = np.unique(np.hstack([down[:, 1:], right[:, 1:]]), axis=0, return_counts=True)
    assert len(kinds) == 8
    assert counts.min() > 25  # of 50 expected, deviation 7
    tops, lefts = crops[..., 1].min(axis=(1, 2)), crops[..., 2].min(axis=(1, 2))
    assert set(tops) == set(range(24 - 16 + 1))
    assert set(lefts) == set(range(32 - 16 + 1))


def test_every_epoch_visits_every_record_once_in_another_order():
    steps = batches(Source(), batch_size=5, crop=16, seed=3)
    orders = [tuple(steps[epoch]["blurry"][:, 0, 0, 0] // 10) for epoch in range(6)]
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    assert len(set(orders)) > 1


def test_batches_run_on_over_the_end_of_an_epoch():
    steps = batches(Source(), batch_size=3, crop=16, seed=3)
    records = np.concatenate([steps[step]["blurry"][:, 0, 0, 0] // 10 for step in range(5)])
    assert np.bincount(records).tolist() == [3] * 5


@pytest.mark.parametrize("processes", [2, 3, 6])
def test_the_hosts_stripes_make_up_the_batch_of_one_host(processes):
    whole = batches(Source(), batch_size=6, crop=16, seed=7)
    stripes = [
        batches(Source(), batch_size=6, crop=16, seed=7, process=p, processes=processes)
        for p in range(processes)
    ]
    for step in (0, 1, 11):
        for key in ("blurry", "sharp"):
            union = np.concatenate([stripe[step][key] for stripe in stripes])
            np.testing.assert_array_equal(union, whole[step][key])


@pytest.mark.parametrize("threads", [1, 4])
def test_iteration_starts_at_any_step_with_any_threads(threads):
    steps = batches(Source(), batch_size=4, crop=16, seed=2)
    for start in (0, 9):
        with closing(iterate(steps, start, threads=threads)) as iterator:
            for step in range(start, start + 6):
                np.testing.assert_array_equal(next(iterator)["blurry"], steps[step]["blurry"])


def test_seeds_differ():
    first, second = (batches(Source(), batch_size=4, crop=16, seed=s)[0] for s in (0, 1))
    assert not np.array_equal(first["blurry"], second["blurry"])


def test_wrong_sources_are_refused():
    with pytest.raises(ValueError, match=r"record \d is 24×32 px, smaller than the crop of 25"):
        batches(Source(), batch_size=1, crop=25, seed=0)[0]

    class Uneven(Source):
        def __getitem__(self, index):
            record = super().__getitem__(index)
            return record | {"sharp": record["sharp"][1:]}

    with pytest.raises(ValueError, match=r"record \d: the blurry image is 24×32 .* 23×32"):
        batches(Uneven(), batch_size=1, crop=16, seed=0)[0]
    with pytest.raises(ValueError, match="no records"):
        batches(Source(0), batch_size=1, crop=16, seed=0)


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match="5 cannot be shared by 2 hosts"):
        batches(Source(), batch_size=5, crop=16, seed=0, processes=2)
    with pytest.raises(ValueError, match=r"process 2 is not one of 0 … 1"):
        batches(Source(), batch_size=4, crop=16, seed=0, process=2, processes=2)


@pytest.mark.parametrize("size", ["720x1280", "774x680"])
def test_crop_grid_is_the_published_one(size):
    expected = np.load(GOLDEN)[f"crops/{size}"]
    height, width = map(int, size.split("x"))
    np.testing.assert_array_equal(crop_grid(height, width), expected)


def test_crop_grid_small_cases():
    assert crop_grid(512, 512).tolist() == [[0, 0]]
    assert crop_grid(512, 513).tolist() == [[0, 0], [0, 1]]
    with pytest.raises(ValueError, match="511×900 px holds no tile of 512"):
        crop_grid(511, 900)
