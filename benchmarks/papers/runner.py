"""Runs tables: every job of every seed once, from the cache where it was measured before."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ...codec.errors import WeightsError
from .data import DataMissing, Sets
from .jobs import Chosen, Job, Table
from .measures import KINDS, Measured, Task, Unfinished
from .scales import SCALES, Scale
from .store import Store
from .tables import SEARCH, TABLES

Tell = Callable[[str], None]


@dataclass
class Runner:
    """Runs jobs until a deadline.

    Args:
        store: runs and results.
        sets: images.
        scale: sizes.
        seeds: runs of each job; None takes what the tables say.
        until: time.monotonic() to stop at.
        tell: gets a line for each job.
        progress: gets lines on how far the training of a job is.
    """

    store: Store
    sets: Sets
    scale: Scale
    seeds: int | None = None
    until: float = float("inf")
    tell: Tell = lambda line: None
    progress: Tell = lambda line: None
    is_late: bool = field(default=False, init=False)
    """Whether the deadline left something out."""
    missing: set[str] = field(default_factory=set, init=False)
    """What was told of images that are missing, once each."""

    def run(self, tables: Iterable[Table]) -> bool:
        """Run all jobs of some tables; tell whether all is done."""
        done = True
        for table in tables:
            if table.searched:  # by one seed, whatever the table has
                for job in self.jobs(TABLES[SEARCH]):
                    done = self._run_job(TABLES[SEARCH], job.seeded(0)) and done
            for job in self.jobs(table):
                for seed in range(self.seeds_of(job)):
                    done = self._run_job(table, job.seeded(seed)) and done
        return done

    def jobs(self, table: Table) -> list[Job]:
        """Return the jobs of a table, with the settings that were chosen if it takes them."""
        return table.jobs(self.scale, self.chosen() if table.searched else Chosen())

    def results(self, table: Table) -> dict[str, list[dict[str, Any]]]:
        """Return the results of a table's jobs, by their names: one for each seed that was run."""
        found: dict[str, list[dict[str, Any]]] = {}
        for job in self.jobs(table):
            fingerprint = self._fingerprint(job.data)
            if fingerprint is None:
                continue
            found[job.name] = []
            for seed in itertools.count():
                result = self.store.result(job.seeded(seed), fingerprint, self.scale)
                if result is not None:
                    found[job.name].append(result)
                elif seed >= self.seeds_of(job):
                    break
        return found

    def _fingerprint(self, data: str) -> str | None:
        """Return that of a set, or of one that is not here but has published results."""
        try:
            return self._fingerprint_here(data)
        except DataMissing:
            return self.store.published_fingerprint(data)

    def _fingerprint_here(self, data: str) -> str:
        """Return that of a set, empty where a job needs none; raises as `Sets.get`."""
        return self.sets.get(data).fingerprint if data else ""

    def at_other_scales(self) -> list[Runner]:
        """Return this runner, then the same for all other scales but tiny, from the largest on."""
        if self.scale.tiny:
            return [self]
        others = [s for s in reversed(SCALES.values()) if s != self.scale and not s.tiny]
        return [self, *(dataclasses.replace(self, scale=scale) for scale in others)]

    def chosen(self) -> Chosen:
        """Return the settings whose plain VAE has the best validation bound, as far as searched.

        What was not searched yet has the settings that are usual.
        """
        fingerprint = self._fingerprint("mnist")
        if fingerprint is None:
            return Chosen()
        best, tries = None, 0
        for job in self.jobs(TABLES[SEARCH]):
            result = self.store.result(job.seeded(0), fingerprint, self.scale)
            if result is None:
                return Chosen()
            tries += 1
            bound = result["valid_elbo"]
            if best is None or bound > best[0] or not math.isfinite(best[0]):
                best = bound, dict(job.options)
        return Chosen(**best[1], tries=tries) if best else Chosen()

    def seeds_of(self, job: Job) -> int:
        """Return how many runs a job has: at the tiny scale no more than two."""
        return self.seeds or (min(2, job.seeds) if self.scale.tiny else job.seeds)

    def _run_job(self, table: Table, job: Job) -> bool:
        """Run one job of one seed; tell whether its result is there."""
        name = f"{table.name}: {job.name}, seed {job.training.seed}"
        try:
            fingerprint = self._fingerprint_here(job.data)
            if self.store.result(job, fingerprint, self.scale) is not None:
                return True
            if time.monotonic() >= self.until:
                self.is_late = True
                return False
            self.tell(name)
            task = Task(
                job=job,
                sets=self.sets,
                scale=self.scale,
                checkpoint=self.store.checkpoint(job, fingerprint),
                deadline=lambda: time.monotonic() >= self.until,
                tick=lambda step, steps: self.progress(f"{name}: {step} of {steps}"),
            )
            result, sheets = _measured(task)
        except DataMissing as missing:
            reason = str(missing.strerror)
            if reason not in self.missing:
                self.missing.add(reason)
                self.tell(reason)
            return False
        except Unfinished:
            self.is_late = True
            self.tell(f"{name}: stopped, goes on from its checkpoint")
            return False
        self.store.save(job, fingerprint, self.scale, result, sheets)
        return True


def _measured(task: Task) -> Measured:
    """Measure a job.

    Raises:
        OSError: its checkpoint is damaged.
    """
    try:
        return KINDS[task.job.kind](task)
    except WeightsError as error:
        reason = f"{error}: delete it to train anew"
        raise OSError(None, reason, str(task.checkpoint)) from error
