"""When a claim counts as reproduced: rules that look at numbers and at nothing else.

They were written before the runs, one module for each paper. What stands in a rule's docstring
below its first line is the rule in words, which the report repeats. A rule gets the results of a
table: for each job a list of what was measured, one entry a seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Result = Mapping[str, Any]
Results = Mapping[str, Sequence[Result]]

REPRODUCED = "reproduced"
DIRECTION = "direction only"
NOT_REPRODUCED = "not reproduced"
NOT_TESTED = "not tested"


@dataclass(frozen=True)
class Verdict:
    """What a rule says, and the numbers that it looked at."""

    outcome: str
    reason: str


class Missing(LookupError):
    """A job that a rule needs was not run."""


Rule = Callable[[Results], Verdict]


def values(results: Results, job: str, key: str) -> list[float]:
    """Return a number of each seed of a job.

    Raises:
        Missing: the job was not run, or does not have that number.
    """
    found = [r[key] for r in results.get(job, ()) if r.get(key) is not None]
    if not found:
        raise Missing(f"{job}: {key}")
    return [float(v) for v in found]


def mean(results: Results, job: str, key: str) -> float:
    """Return the mean over seeds."""
    found = values(results, job, key)
    return sum(found) / len(found)


def standard_error(found: Sequence[float]) -> float:
    """Return the standard error of the mean; not a number for one value."""
    if len(found) < 2:
        return math.nan
    middle = sum(found) / len(found)
    return math.sqrt(sum((v - middle) ** 2 for v in found) / (len(found) - 1) / len(found))


def differences(results: Results, better: str, worse: str, key: str) -> list[float]:
    """Return better - worse of each seed that has both.

    Raises:
        Missing: no seed has both.
    """
    one, other = (
        {r["seed"]: float(r[key]) for r in results.get(job, ()) if r.get(key) is not None}
        for job in (better, worse)
    )
    gaps = [one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())]
    if not gaps:
        raise Missing(f"{better}, {worse}: {key} of one seed")
    return gaps


def difference(results: Results, better: str, worse: str, key: str) -> tuple[float, float]:
    """Return the mean of `differences`, and its standard error; raises as they do."""
    gaps = differences(results, better, worse, key)
    return sum(gaps) / len(gaps), standard_error(gaps)


def living(results: Results, job: str) -> list[Result]:
    """Return the runs of a job, one per seed, in which at least one unit is active.

    Raises:
        Missing: the job was not run, or is dead in all seeds.
    """
    found = [r for r in results.get(job, ()) if r.get("active_share")]
    if not found:
        raise Missing(f"{job} with an active unit")
    return found


def clear(gap: float, error: float) -> bool:
    """Tell whether a gap exceeds two standard errors; one seed is never clear."""
    return not math.isnan(error) and gap > 2 * error


def shown(gap: float, error: float) -> str:
    """Return a gap as text, with its standard error where there is one."""
    return f"{gap:+.2f}" + ("" if math.isnan(error) else f" ({error:.2f})")


def graded(full: bool, sign: bool, reason: str) -> Verdict:
    """Grade a claim: as claimed, only its sign, or neither."""
    return Verdict(REPRODUCED if full else DIRECTION if sign else NOT_REPRODUCED, reason)


def measured_only(results: Results) -> Verdict:
    """Measured only.

    No verdict: numbers at this scale say nothing about the claim.
    """
    return Verdict(NOT_TESTED, "measured, not judged at this scale")


def judge(rule: Rule, results: Results) -> Verdict:
    """Apply a rule; a claim of which a job is missing is not tested."""
    try:
        return rule(results)
    except Missing as missing:
        return Verdict(NOT_TESTED, f"not run: {missing.args[0]}")
