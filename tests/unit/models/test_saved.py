from pathlib import Path

import pytest
import torch

from hvae_codec.models.saved import read_saved, write_saved


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_saved(tmp_path / "new" / "a.pt", {"values": torch.ones(3), "step": 7})
    found = read_saved(tmp_path / "new" / "a.pt", {"values", "step"}, "checkpoint")
    assert (found["values"].tolist(), found["step"]) == ([1, 1, 1], 7)


def test_a_file_that_does_not_fit_is_an_error_of_the_system(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "a.pt"
    write_saved(path, {"step": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write_saved(path, {"values": torch.zeros(500_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(path)
    assert read_saved(path, {"step"}, "checkpoint") == {"step": 1}
    assert [*tmp_path.iterdir()] == [path]
