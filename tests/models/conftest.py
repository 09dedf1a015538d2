import shutil

import pytest

from msdi_jax import models
from tests.models.samples import ARCHITECTURE, DESCRIPTION, filled


@pytest.fixture(scope="session")
def network():
    return filled(ARCHITECTURE.build)


@pytest.fixture(scope="session")
def saved(tmp_path_factory, network):
    path = tmp_path_factory.mktemp("saved") / "deep" / "model"
    models.save(path, network, DESCRIPTION)
    return path


@pytest.fixture
def copy(tmp_path, saved):
    return shutil.copytree(saved, tmp_path / "model")


@pytest.fixture(scope="session")
def loaded(saved):
    return models.load(saved)
