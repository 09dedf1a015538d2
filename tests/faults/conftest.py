import pytest

from tests import launching


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    launching.end_all()
