"""The notebook: its first cell, its text and outputs, and a run of it from an empty folder."""

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from msdi_jax.data.camera_shake.camera_shake_dataset_builder import open_split, prepare
from msdi_jax.evaluation import metrics
from tests import wheels

FILE = wheels.ROOT / "notebooks" / "msdi_colab.ipynb"
CUDA = ("jax-cuda12-plugin", "jax-cuda12-pjrt")


def read():
    return nbformat.read(FILE, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def run_first_cell():
    exec(compile(code_cells(read())[0].source, "first cell", "exec"), {"__name__": "first_cell"})


@pytest.fixture
def first():
    """The constants and the functions of the first cell, which is not run."""
    tree = ast.parse(code_cells(read())[0].source)
    tree.body = [node for node in tree.body if is_definition(node)]
    names = {}
    exec(compile(tree, "first cell", "exec"), names)
    return SimpleNamespace(**names)


def is_definition(node):
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]).isupper()
    return isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef)


def parts(jax, jaxlib=None, **plugins):
    """Installed packages of JAX and their versions."""
    plugins = {name.replace("_", "-"): version for name, version in plugins.items()}
    return {"jax": jax, "jaxlib": jaxlib or jax, **plugins}


@pytest.mark.parametrize(
    ("found", "accelerator", "requirement"),
    [
        # What fits stays.
        (parts("0.10.2"), "CPU", "jax==0.10.2"),
        (parts("0.11.1", jax_cuda12_plugin="0.11.1"), "GPU", "jax==0.11.1"),
        (parts("0.11.1", jax_cuda13_plugin="0.11.1"), "GPU", "jax==0.11.1"),
        (parts("0.11.0", libtpu="0.0.42"), "TPU", "jax==0.11.0"),
        # What does not is replaced as a whole.
        (parts("0.7.2", jax_cuda12_plugin="0.7.2"), "GPU", "jax[cuda12]=={}"),
        (parts("0.7.2", jax_cuda12_plugin="0.7.2"), "CPU", "jax[cuda12]=={}"),
        (parts("0.12.0", jax_cuda12_plugin="0.12.0"), "GPU", "jax[cuda12]=={}"),
        (parts("0.7.2", jax_cuda13_plugin="0.7.2"), "GPU", "jax[cuda13]=={}"),
        (parts("0.10.2", jax_cuda12_plugin="0.7.2"), "GPU", "jax[cuda12]=={}"),
        (parts("0.10.2", "0.10.1"), "CPU", "jax=={}"),
        (parts("0.7.2", libtpu="0.0.20"), "TPU", "jax[tpu]=={}"),
        (parts("0.7.2"), "CPU", "jax=={}"),
        # What is missing is added.
        ({}, "CPU", "jax=={}"),
        ({}, "GPU", "jax[cuda12]=={}"),
        ({}, "TPU", "jax[tpu]=={}"),
        (parts("0.10.2"), "GPU", "jax[cuda12]=={}"),
    ],
)
def test_jax_its_compiler_and_its_plugin_stay_one_version(first, found, accelerator, requirement):
    assert first.jax_requirement(found, accelerator) == requirement.format(first.JAX)


def test_the_versions_of_jax_are_those_of_the_package(first):
    (line,) = re.findall(r"^jax>=([\d.]+),<([\d.]+)$", requirements(), re.MULTILINE)
    assert [tuple(map(int, v.split("."))) for v in line] == [first.OLDEST, first.BELOW]
    assert first.OLDEST <= tuple(map(int, first.JAX.split("."))) < first.BELOW


def requirements():
    return (wheels.ROOT / "requirements.txt").read_text()


def test_the_address_must_be_set(monkeypatch):
    version = importlib.metadata.version

    def without_package(name):
        if name == "msdi_jax":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_package)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1))
    with pytest.raises(ValueError, match=r"REPO is https://github.com/OWNER/msdi_jax: set it"):
        run_first_cell()


def test_the_first_cell_prints_what_it_found(capsys):
    run_first_cell()
    printed = capsys.readouterr().out
    assert "installing" not in printed
    assert re.search(r"runtime: (CPU|GPU|TPU); JAX uses \d+ × ", printed)
    for name in ("msdi_jax", "jax", "jaxlib"):
        assert f"{name} {importlib.metadata.version(name)}" in printed


def test_an_installation_that_fails_or_comes_too_late_is_explained(first, monkeypatch):
    failed = SimpleNamespace(returncode=1, stderr="no such package")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(RuntimeError, match="pip failed:\nno such package"):
        first.install("x")
    failed.returncode = 0
    first.install("x")
    monkeypatch.setitem(sys.modules, "numpy", SimpleNamespace(__version__="1.0"))
    with pytest.raises(RuntimeError, match=r"numpy 1\.0 was imported: .*Restart session"):
        first.install("x")


def test_every_section_ends_with_what_was_seen():
    text = "\n".join(c.source for c in read().cells if c.cell_type == "markdown")
    title, *sections = re.split(r"^## \d\. ", text, flags=re.MULTILINE)
    assert title
    assert len(sections) == 7
    for section in sections:
        assert section.split("\n\n## ")[0].strip().splitlines()[-1].startswith("**What we saw.** ")


def test_its_outputs_are_those_of_a_whole_run():
    cells = code_cells(read())
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = [output.output_type for cell in cells for output in cell.outputs]
    assert "error" not in kinds
    assert kinds.count("display_data") >= 10
    assert FILE.stat().st_size < 3e6


def test_its_outputs_name_no_place():
    outputs = json.dumps([cell.outputs for cell in code_cells(read())])
    assert not re.findall(r"(?<![\w.<])/(?:home|root|tmp|usr|opt|work|Users|content)/", outputs)


def test_its_blurry_pictures_are_those_of_today(tmp_path):
    """The figures are those of the present data set."""
    outputs = [output for cell in code_cells(read()) for output in cell.outputs]
    text = "".join(output.get("text", "") for output in outputs)
    (printed,) = re.findall(r" blurry +deblurred.*\nPSNR, dB +([\d.]+)", text)
    test = open_split(prepare(tmp_path, train_pairs=1, test_pairs=4), "test")
    psnr = np.mean([metrics.psnr(record["blurry"], record["sharp"]) for record in test])
    assert float(printed) == round(psnr, 2)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return wheels.build(tmp_path_factory.mktemp("wheel"))


MOVED = """
before = alpha_viewer.children[-1].value
alpha_viewer.children[0].value = alphas[-1]
assert alpha_viewer.children[-1].value != before

first_blur, second_blur, share, picture = blur_viewer.children
seen = {picture.value}
for control, value in ((share, 1.0), (second_blur, names[0]), (share, 0.0), (first_blur, names[4])):
    control.value = value
    assert picture.value not in seen
    seen.add(picture.value)
"""
UPLOADED = """
plt.imsave("mine.png", np.random.default_rng(0).random((300, 1300, 3)))
"""


@pytest.mark.slow  # trains, and compiles a dozen programs
def test_it_runs_from_an_empty_folder(wheel, tmp_path, monkeypatch):
    """With the wheel; then controls are moved and a photograph is uploaded."""
    wheels.install(wheel, tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    folder = tmp_path / "empty"
    folder.mkdir()
    notebook = read()
    (deblurring,) = [c.source for c in code_cells(notebook) if c.source.startswith("PHOTOGRAPH")]
    deblurring = deblurring.replace('PHOTOGRAPH = ""', 'PHOTOGRAPH = "mine.png"')
    where = "import msdi_jax; print(msdi_jax.__file__)"
    notebook.cells += map(nbformat.v4.new_code_cell, (MOVED, UPLOADED, deblurring, where))
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}})
    client.execute()
    assert (folder / "runs" / "notebook" / "report.html").exists()
    assert notebook.cells[-1].outputs[0].text.startswith(str(tmp_path / "site"))
    assert [output.output_type for output in notebook.cells[-2].outputs] == 2 * ["display_data"]


@pytest.fixture(scope="module")
def old_runtime(tmp_path_factory):
    """Environment that pip sees JAX 0.7 with its CUDA plugin in, by their metadata."""
    folder = tmp_path_factory.mktemp("runtime")
    wheels.succeed([sys.executable, "-m", "venv", folder])
    (site,) = (folder / "lib").glob("python3*/site-packages")
    needs = {
        "jax": ["jaxlib<=0.7.2,>=0.7.2"],
        "jaxlib": [],
        "jax-cuda12-plugin": ["jax-cuda12-pjrt==0.7.2"],
        "jax-cuda12-pjrt": [],
    }
    for name, requires in needs.items():
        info = site / f"{name.replace('-', '_')}-0.7.2.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 0.7.2"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        (info / "RECORD").touch()
    return folder / "bin" / "python"


def resolved(python, *requirements):
    """Version of each part of JAX, in `python`'s environment after pip install."""
    report = python.parent / "report.json"
    options = ["--dry-run", "--quiet", f"--report={report}"]
    wheels.succeed([python, "-m", "pip", "install", *options, *map(str, requirements)])
    found = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    new = {item["name"]: item["version"] for item in found}
    return {name: new.get(name, "0.7.2") for name in ("jax", "jaxlib", *CUDA)}


@pytest.mark.slow  # a minute, and the network
def test_pip_replaces_an_older_cuda_build_as_a_whole(first, old_runtime, wheel):
    skip_without_index(old_runtime)
    found = parts("0.7.2", jax_cuda12_plugin="0.7.2")
    together = resolved(old_runtime, wheel, first.jax_requirement(found, "GPU"))
    assert together == dict.fromkeys(("jax", "jaxlib", *CUDA), first.JAX)
    # The package alone would leave half of it behind.
    alone = resolved(old_runtime, wheel)
    assert alone["jax"] != alone["jax-cuda12-plugin"] == "0.7.2"


def skip_without_index(python):
    """Skip where pip reaches no index of packages."""
    command = [
        python,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--quiet",
        "--retries=0",
        "--timeout=15",
    ]
    done = subprocess.run(
        [*command, f"--dest={python.parent}", "opt_einsum"], capture_output=True, timeout=120
    )
    if done.returncode:
        pytest.skip("pip reaches no index of packages")
