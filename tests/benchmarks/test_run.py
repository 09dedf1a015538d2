"""`make bench` in miniature: every script runs, the page gets its table; no time is asserted."""

import os
import shutil
import subprocess
import sys

import pytest

from benchmarks import run, timing


def test_ratios_are_medians_over_pairs():
    costs = {
        "ours": [timing.Cost(1.0, 2.0), timing.Cost(2.0, 2.0), timing.Cost(4.0, 2.0)],
        "eager": [timing.Cost(3.0, 6.0), timing.Cost(2.0, 8.0), timing.Cost(8.0, 4.0)],
    }
    row = timing.row("x", costs)
    assert row["seconds"] == {"ours": 2.0, "eager": 3.0}
    assert row["ratios"] == {"eager": 2.0}
    assert row["cpu_ratios"] == {"eager": 3.0}


def test_calls_take_turns_each_after_one_of_its_own():
    seen = []
    calls = {"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}
    costs = timing.paired(calls, pairs=2)
    assert "".join(seen) == "ab" + 2 * "aabb"
    assert {name: len(found) for name, found in costs.items()} == {"a": 2, "b": 2}


def test_only_what_stands_between_the_marks_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{run.BEGIN}\nold\n{run.END}\nafter\n")
    run.write(page, "new")
    assert page.read_text() == f"before\n{run.BEGIN}\nnew\n{run.END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="put them back"):
        run.write(page, "new")
    assert page.read_text() == "no marks"


@pytest.mark.slow
def test_all_benchmarks_run(tmp_path):
    page = tmp_path / "page.md"
    shutil.copy(run.PAGE, page)
    command = [sys.executable, "-m", "benchmarks.run", "--quick", "--page", str(page)]
    # PyTorch's threads wait for each other spinning, which takes minutes next to other tests.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=timing.ROOT, env=environment, check=True)
    text = page.read_text()
    assert "failed" not in text
    for what in ("reblur", "deblur", "inference", "memory", "start to first", "per second"):
        assert what in text
