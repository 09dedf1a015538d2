"""Packages that a build installs; everything else is in pyproject.toml.

`data/` and `configs/` stay at the top of the checkout and are installed as `msdi_jax.data` and
`msdi_jax.configs`.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["msdi_jax*"]),
        *(f"msdi_jax.{name}" for name in find_packages(include=["data*", "configs*"])),
    ],
    package_dir={"msdi_jax.data": "data", "msdi_jax.configs": "configs"},
)
