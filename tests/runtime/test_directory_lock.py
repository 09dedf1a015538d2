"""Locks of directories."""

import pytest

from msdi_jax.runtime.directory_lock import alone_in


def test_a_locked_folder_is_refused_until_it_is_released(tmp_path):
    folder = tmp_path / "new" / "folder"
    with (
        alone_in(folder),
        pytest.raises(ValueError, match=f"working in {folder}"),
        alone_in(folder),
    ):
        pytest.fail("two at once")
    with alone_in(folder):
        pass
