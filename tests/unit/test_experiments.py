"""The log of experiments and the curve of training: rows that a program can read."""

import csv
import re
from datetime import date
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
COLUMNS = [
    *("date", "commit", "command", "trial", "why", "metric"),
    *("before", "after", "figures", "verdict", "remark"),
]
VERDICTS = {"kept", "no", "open", "measured"}
REPRODUCIBLE_SINCE = date(2026, 11, 29)
"""Trials of earlier days were told of without their commands."""


def rows_of(name: str) -> list[dict[str, str]]:
    with (DOCS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


EXPERIMENTS = rows_of("experiments.csv")


@pytest.mark.parametrize("number", range(len(EXPERIMENTS)))
def test_a_trial_says_what_was_tried_and_what_came_of_it(number: int) -> None:
    row = EXPERIMENTS[number]
    assert list(row) == COLUMNS and all(isinstance(value, str) for value in row.values())
    day = date.fromisoformat(row["date"])
    assert re.fullmatch("[0-9a-f]{7,40}", row["commit"])
    assert row["trial"] and row["figures"] and row["verdict"] in VERDICTS
    before, after = ([float(value) for value in row[key].split()] for key in ("before", "after"))
    assert len(before) == len(after)
    assert bool(before) == bool(row["metric"])
    if day >= REPRODUCIBLE_SINCE:
        assert row["command"]


def test_trials_stand_once_and_none_was_lost() -> None:
    told = [row["trial"] for row in EXPERIMENTS if not row["trial"].startswith("The same")]
    assert len(told) == len(set(told))
    assert sum(bool(row["metric"]) for row in EXPERIMENTS) > 100
    assert len(EXPERIMENTS) >= 121


def test_the_learning_curve_goes_on_in_time() -> None:
    rows = rows_of("learning.csv")
    stages = [int(row["stage"]) for row in rows]
    assert stages == sorted(stages) and set(stages) == set(range(1, stages[-1] + 1))
    for stage in range(1, stages[-1] + 1):
        hours = [float(row["hours"]) for row in rows if row["stage"] == str(stage)]
        assert hours == sorted(hours)
    for row in rows:
        bpp = [float(row[f"bpp_{quality}"]) for quality in (10, 50, 90)]
        psnr = [float(row[f"psnr_{quality}"]) for quality in (10, 50, 90)]
        assert bpp == sorted(bpp) and psnr == sorted(psnr)
        assert float(row["loss"]) > 0 and row["simulated"] in ("0", "1")
