"""Preparation of a set shard by shard, on all cores; an interruption loses only the current shard.

tfds writes a set into a temporary folder and deletes it when interrupted. So each shard is written
into `VERSION.unfinished` next to it, and is linked into the folder of tfds when it is complete. A
repeated preparation reuses the finished shards.
"""

import abc
import contextlib
import fcntl
import functools
import io
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource
from array_record.python.array_record_module import ArrayRecordWriter
from tqdm import tqdm

FORMAT = "array_record"


class ShardBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """Base of builders that list the items of their shards, and turn an item into records.

    tfds keeps a shard in memory while it is written.
    """

    VERSION = tfds.core.Version("1.0.0")

    @abc.abstractmethod
    def plan(self) -> Mapping[str, Sequence[Sequence[Any]]]:
        """Return the items of every shard of every split; equal sets have equal plans."""

    @abc.abstractmethod
    def make(self, split: str, item: Any) -> list[dict]:
        """Return the records of an item, each with its "name"; called from several threads."""

    @property
    def unfinished(self) -> Path:
        """Folder of finished shards, which is deleted when the set is complete."""
        # During preparation, `data_dir` is the temporary folder of tfds, in the same place.
        return Path(self.data_dir).with_name(f"{self.version}.unfinished")

    def _shard_iterators_per_split(
        self, dl_manager: tfds.download.DownloadManager
    ) -> Mapping[str, Sequence[Callable[[], Iterator]]]:
        del dl_manager  # nothing is downloaded
        plan = {split: shards for split, shards in self.plan().items() if shards}
        items = sum(len(shard) for shards in plan.values() for shard in shards)
        progress = tqdm(total=items, desc=self.name, unit="pair")
        return {
            split: [
                functools.partial(
                    self._records, split, shard, self._kept(split, index, len(shards)), progress
                )
                for index, shard in enumerate(shards)
            ]
            for split, shards in plan.items()
        }

    def _example_writer(self) -> tfds.core.ExampleWriter:
        return _KeepingWriter(self.info.file_format, self.unfinished)

    def _kept(self, split: str, index: int, count: int) -> Path:
        template = tfds.core.ShardedFileTemplate(
            data_dir=self.unfinished, dataset_name=self.name, split=split, filetype_suffix=FORMAT
        )
        return Path(template.sharded_filepath(shard_index=index, num_shards=count))

    def _records(
        self, split: str, items: Sequence, kept: Path, progress: tqdm
    ) -> Iterator[tuple[str, dict]]:
        if kept.exists():
            progress.update(len(items))
            # The writer reuses the file; these records are only counted.
            yield from (("", {}) for _ in range(len(ArrayRecordDataSource([str(kept)]))))
            return
        with workers() as pool:
            for records in pool.map(functools.partial(self.make, split), items):
                progress.update()
                for record in records:
                    yield record["name"], record


class _KeepingWriter(tfds.core.ExampleWriter):
    """Writer of a shard into `folder`, unless it exists, which links it to the path of tfds."""

    def __init__(self, file_format, folder: Path):
        super().__init__(file_format)
        self.folder = folder

    def write(self, path: os.PathLike, examples: Iterable) -> None:
        kept = self.folder / Path(path).name
        if not kept.exists():
            temporary = kept.with_name(f"{kept.name}.new")
            _write(temporary, examples)
            temporary.rename(kept)
        try:
            os.link(kept, path)
        except OSError:  # a file system without hard links
            shutil.copyfile(kept, path)


def _write(path: Path, examples: Iterable[tuple[Any, bytes]]) -> None:
    """Write records like tfds, without compression: PNGs are compressed, raw pixels need speed."""
    writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
    for _, example in examples:
        writer.write(example)
    writer.close()


def build(builder: ShardBuilder) -> Path:
    """Prepare the set unless it exists, continuing where an interrupted call stopped.

    It waits for another process that prepares the same set.
    """
    place, unfinished = Path(builder.data_dir), builder.unfinished
    if place.exists():
        # It remains if a process was killed at the very end.
        shutil.rmtree(unfinished, ignore_errors=True)
        return place
    unfinished.mkdir(parents=True, exist_ok=True)
    with (unfinished / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Leftovers of a killed process, which may be large.
        for stale in place.parent.glob(f"incomplete.*_{place.name}"):
            shutil.rmtree(stale)
        # tfds prints that it downloads a set of unknown size, although it does not.
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(download_dir=str(unfinished / "downloads"))
        shutil.rmtree(unfinished, ignore_errors=True)
    return place


@contextlib.contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """Pool of one thread per core; an exception cancels the items that have not started."""
    # One thread per item: more threads of OpenCV would compete for the same cores.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(threads)
