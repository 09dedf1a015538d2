"""The notebook runs from top to bottom."""

import re
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from msdi_jax.data.camera_shake.camera_shake_dataset_builder import open_split, prepare
from msdi_jax.evaluation import metrics

ROOT = Path(__file__).parents[2]
FILE = ROOT / "notebooks" / "msdi_colab.ipynb"


@pytest.mark.slow  # trains, and compiles a dozen programs
def test_it_runs(tmp_path):
    # The repository as it is, and room for what the notebook writes.
    for name in ("msdi_jax", "configs", "data", "launch.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(FILE, tmp_path / FILE.name)
    notebook = nbformat.read(tmp_path / FILE.name, as_version=4)
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": tmp_path}})
    client.execute()
    assert (tmp_path / "runs" / "notebook" / "report.html").exists()


def test_its_outputs_are_those_of_a_whole_run():
    notebook = nbformat.read(FILE, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = [output.output_type for cell in cells for output in cell.outputs]
    assert "error" not in kinds
    assert kinds.count("display_data") >= 6


def test_its_blurry_pictures_are_those_of_today(tmp_path):
    """The figures are those of the present data set."""
    (printed,) = re.findall(r"PSNR, dB +blurry ([\d.]+)", FILE.read_text(encoding="utf-8"))
    test = open_split(prepare(tmp_path, train_pairs=1, test_pairs=4), "test")
    psnr = np.mean([metrics.psnr(record["blurry"], record["sharp"]) for record in test])
    assert float(printed) == round(psnr, 2)
