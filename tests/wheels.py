"""The wheel of the checkout, for tests of what is installed."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Folder of the checkout → package of the wheel.
PACKAGES = {"msdi_jax": "msdi_jax", "data": "msdi_jax/data", "configs": "msdi_jax/configs"}
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]


def succeed(command, **options):
    """Run a command and return its output."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(folder):
    """Build the wheel in `folder`, without a network, in a copy: setuptools writes there."""
    checkout = folder / "checkout"
    without_caches = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, checkout / package, ignore=without_caches)
    for name in ("setup.py", "pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    options = ["--no-deps", "--no-build-isolation", "--no-index", f"--wheel-dir={folder}"]
    succeed([*PIP, "wheel", *options, str(checkout)])
    (path,) = folder.glob("*.whl")
    return path


def install(wheel, target):
    """Install the wheel alone into the folder `target`."""
    succeed([*PIP, "install", "--no-deps", "--no-index", f"--target={target}", str(wheel)])
