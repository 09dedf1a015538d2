import fcntl
import os
import threading

import numpy as np
import pytest
from PIL import Image

from msdi_jax.data.paired import builder as paired_builder
from msdi_jax.data.pairs.pairs_dataset_builder import Builder, open_split, prepare

COUNT = 12


class Spy:
    """Records which pairs are made; interrupts before pair number `limit`."""

    def __init__(self):
        self.names, self.limit = [], None
        self.make = Builder.make

    def __call__(self, builder, split, item):
        if len(self.names) == self.limit:
            raise KeyboardInterrupt
        self.names.append(item.name)
        return self.make(builder, split, item)


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A folder of twelve pairs, two of which make a shard."""
    monkeypatch.setattr(paired_builder, "_PIXELS_PER_SHARD", 2 * 70 * 80)
    for kind, first in (("blurry", 0), ("sharp", COUNT)):
        (tmp_path / "mine" / kind).mkdir(parents=True)
        for index in range(COUNT):
            pixels = np.random.default_rng(first + index).integers(0, 256, (70, 80, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "mine" / kind / f"{index:02d}.png")
    return tmp_path / "mine"


@pytest.fixture
def spy(monkeypatch):
    # One pair at a time, so that the finished shards are known.
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    spy = Spy()
    monkeypatch.setattr(Builder, "make", lambda *arguments: spy(*arguments))
    return spy


def records(directory):
    return [
        {key: np.asarray(value).tobytes() for key, value in record.items()}
        for part in ("train", "test")
        for record in open_split(directory, part)
    ]


def interrupt(spy, source, root, limit):
    spy.names, spy.limit = [], limit
    with pytest.raises(KeyboardInterrupt):
        prepare(root, source)
    spy.names, spy.limit = [], None


@pytest.mark.parametrize("links", [True, False])
def test_a_repeated_run_makes_only_what_is_missing(source, spy, tmp_path, monkeypatch, links):
    if not links:

        def refuse(*_):
            raise OSError("this file system has no hard links")

        monkeypatch.setattr(os, "link", refuse)
    whole = prepare(tmp_path / "whole", source)
    order = spy.names
    assert sorted(order) == [f"{index:02d}.png" for index in range(COUNT)]
    interrupt(spy, source, tmp_path / "twice", limit=5)
    assert not list(tmp_path.glob("twice/**/dataset_info.json"))
    monkeypatch.setattr(
        "msdi_jax.data.paired.builder.check_pairs", lambda pairs: pytest.fail("checked again")
    )
    resumed = prepare(tmp_path / "twice", source)
    # Two shards of two pairs were finished.
    assert spy.names == order[4:]
    assert records(resumed) == records(whole)
    assert [path.name for path in resumed.parent.iterdir()] == ["1.0.0"]
    assert [path.name for path in (tmp_path / "twice").iterdir()] == ["pairs"]


def test_leftovers_of_a_killed_process_are_removed(source, spy, tmp_path):
    interrupt(spy, source, tmp_path / "new", limit=3)
    (place,) = (tmp_path / "new" / "pairs").iterdir()
    kept = sorted((place / "1.0.0.unfinished").glob("*.array_record-00000-of-*"))
    # A killed process leaves the folder of tfds and half a shard behind.
    stale = place / "incomplete.ABC123_1.0.0"
    stale.mkdir()
    os.link(kept[0], stale / kept[0].name)
    kept[0].with_name(kept[0].name.replace("00000-of", "00001-of") + ".new").write_bytes(b"half")
    assert len(records(prepare(tmp_path / "new", source))) == COUNT
    assert [path.name for path in place.iterdir()] == ["1.0.0"]


def test_leftovers_of_a_process_killed_at_the_very_end_are_removed(source, tmp_path):
    directory = prepare(tmp_path / "new", source)
    (directory.parent / "1.0.0.unfinished").mkdir()
    assert prepare(tmp_path / "new", source) == directory
    assert [path.name for path in directory.parent.iterdir()] == ["1.0.0"]


def test_a_second_process_waits_for_the_first(source, spy, tmp_path):
    interrupt(spy, source, tmp_path, limit=3)
    (lock,) = tmp_path.glob("pairs/*/1.0.0.unfinished/lock")
    prepared = []
    second = threading.Thread(target=lambda: prepared.append(prepare(tmp_path, source)))
    with lock.open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        second.start()
        second.join(timeout=1)
        assert second.is_alive()
        assert not spy.names
    second.join(timeout=60)
    assert len(records(prepared[0])) == COUNT


def test_no_download_is_announced(source, tmp_path, capsys):
    prepare(tmp_path, source)
    assert capsys.readouterr().out == ""
