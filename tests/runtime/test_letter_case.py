"""Names that differ by the case of their letters."""

from pathlib import Path

import pytest

from msdi_jax.runtime import letter_case


def test_the_disk_is_asked_and_left_as_it_was(tmp_path):
    (tmp_path / "a").touch()
    expected = not (tmp_path / "A").exists()
    assert letter_case.distinguishes_case(tmp_path / "folder" / "to_come") == expected
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_disk_that_ignores_case(tmp_path, monkeypatch):
    """As on such a disk, every spelling of a file that exists exists."""
    exists = Path.exists

    def any_spelling(path):
        return exists(path) or any(
            other.name.lower() == path.name.lower() for other in path.parent.iterdir()
        )

    monkeypatch.setattr(Path, "exists", any_spelling)
    assert not letter_case.distinguishes_case(tmp_path)
    letter_case.check_distinct(["a", "b", "A2"], tmp_path)
    with pytest.raises(ValueError, match=r"a\.png and A\.PNG are one name on the disk of .*: rena"):
        letter_case.check_distinct(["a.png", "b.png", "A.PNG"], tmp_path)
