"""Bars on a terminal, which show that something goes on."""

import pytest

from hvae_codec.cli import bars
from hvae_codec.codec.progress import Progress


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "_PATIENCE_S", 0.0)


def test_tiles_of_a_large_file_are_shown(capsys: pytest.CaptureFixture) -> None:
    with bars.tile_bar():
        for _ in range(2):  # as a search for a quality does
            progress = Progress(3)
            for _ in range(3):
                progress.passed()
    shown = capsys.readouterr().err
    assert shown.count("3/3") == 2
    assert shown.endswith(" \r")  # nothing of it stays


def test_a_file_of_one_tile_has_no_bar(capsys: pytest.CaptureFixture) -> None:
    with bars.tile_bar():
        Progress(1).passed()
    assert not capsys.readouterr().err
