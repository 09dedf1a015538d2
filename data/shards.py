"""Sets are made shard by shard, on all cores; an interruption loses only the shard in hand.

tfds writes a set into a temporary folder and deletes that when interrupted. So each shard is
written beside it, into `VERSION.unfinished`, and enters tfds's folder as a hard link when complete.
Made again, the set takes finished shards from there.
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
    """A subclass says which items its shards are made of, and which records an item gives.

    tfds holds a shard in memory while it is written.
    """

    VERSION = tfds.core.Version("1.0.0")

    @abc.abstractmethod
    def plan(self) -> Mapping[str, Sequence[Sequence[Any]]]:
        """The items of every shard of every split, the same whenever the same set is made."""

    @abc.abstractmethod
    def make(self, split: str, item: Any) -> list[dict]:
        """The records of an item, each with its "name"; called from several threads at once."""

    @property
    def unfinished(self) -> Path:
        """Where finished shards wait; the folder goes when the set is complete."""
        # While a set is being made, `data_dir` is tfds's temporary folder, in the same place.
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
            # The writer takes the file as it is; what comes from here is only counted.
            yield from (("", {}) for _ in range(len(ArrayRecordDataSource([str(kept)]))))
            return
        with workers() as pool:
            for records in pool.map(functools.partial(self.make, split), items):
                progress.update()
                for record in records:
                    yield record["name"], record


class _KeepingWriter(tfds.core.ExampleWriter):
    """Writes a shard into `folder`, unless it is there, and links it to where tfds wants it."""

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
    """As tfds does, but as they are: PNGs are compressed already, and raw pixels not to be."""
    writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
    for _, example in examples:
        writer.write(example)
    writer.close()


def build(builder: ShardBuilder) -> Path:
    """Makes the set unless it is there, going on where an interrupted run stopped.

    Another process that makes the same set is waited for.
    """
    place, unfinished = Path(builder.data_dir), builder.unfinished
    if place.exists():
        # There, where a run was killed at its very end.
        shutil.rmtree(unfinished, ignore_errors=True)
        return place
    unfinished.mkdir(parents=True, exist_ok=True)
    with (unfinished / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Of a run that was killed, and perhaps large.
        for stale in place.parent.glob(f"incomplete.*_{place.name}"):
            shutil.rmtree(stale)
        # tfds announces a download of unknown size, though there is none.
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(download_dir=str(unfinished / "downloads"))
        shutil.rmtree(unfinished, ignore_errors=True)
    return place


@contextlib.contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """A thread for each core; leaving early drops what has not begun."""
    # Items in parallel, one thread each: OpenCV's own threads would only get in their way.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(threads)
