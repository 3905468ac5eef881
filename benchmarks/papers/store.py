"""Runs and results on disk, named by the hash of all that they depend on.

OUT/runs/HASH/config.json, checkpoint.pt    a model that is trained, or half trained
OUT/results/HASH.json, HASH.npz             what was measured, and sheets of pictures
PUBLISHED/results.jsonl, HASH.npz           the same of all that a page shows
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...codec.files import replacing
from .data import UNREADABLE
from .jobs import Job
from .scales import Scale

Sheets = dict[str, NDArray[np.uint8]]
"""Pictures by name, (rows, columns, H, W) or (rows, columns, H, W, 3)."""


@dataclass(frozen=True)
class Store:
    """A folder of runs and results.

    Args:
        folder: the folder.
        published: folder of results that a page shows, which may come from another machine; what
            it holds counts as measured.
    """

    folder: Path
    published: Path | None = None

    def checkpoint(self, job: Job, fingerprint: str) -> Path:
        """Return where a run is saved; its configuration is written beside it."""
        run = self.folder / "runs" / job.run_key(fingerprint)
        if not (run / "config.json").exists():
            described = {
                "data": job.data,
                "images": fingerprint,
                "model": job.model.to_json(),
                "training": job.training.to_json(),
            }
            with replacing(run / "config.json") as part:
                part.write_text(json.dumps(described, indent=1))
        return run / "checkpoint.pt"

    def result(self, job: Job, fingerprint: str, scale: Scale) -> dict[str, Any] | None:
        """Return what was measured before, or None.

        Raises:
            OSError: a file does not hold it.
        """
        path = self._result(job, fingerprint, scale)
        if not path.exists():
            return self._published.get(path.stem)
        of = {"key": path.stem, "data": job.data, "fingerprint": fingerprint}
        try:
            result = json.loads(path.read_text())
            return result | of | {"seed": result["seed"]}
        except (ValueError, LookupError, TypeError) as error:
            reason = "this holds no result: delete it to measure anew"
            raise OSError(None, reason, str(path)) from error

    def published_fingerprint(self, data: str) -> str | None:
        """Return the fingerprint of a set of images that published results are of, or None."""
        found = (r["fingerprint"] for r in self._published.values() if r["data"] == data)
        return next(found, None)

    def save(
        self, job: Job, fingerprint: str, scale: Scale, result: dict[str, Any], sheets: Sheets
    ) -> None:
        """Write what was measured."""
        path = self._result(job, fingerprint, scale)
        result = _short(result) | {"seed": job.training.seed}
        if sheets:
            with replacing(path.with_suffix(".npz")) as part, part.open("wb") as out:
                np.savez_compressed(out, **sheets)  # type: ignore[arg-type]
            result = result | {"sheets": path.with_suffix(".npz").name}
        with replacing(path) as part:
            part.write_text(json.dumps(result))

    def sheets(self, result: dict[str, Any]) -> Sheets:
        """Return the pictures of a result; none where it has none.

        Raises:
            OSError: their file is not there, or does not hold them.
        """
        if "sheets" not in result:
            return {}
        path = self._sheets(result)
        try:
            with np.load(path) as file:
                return {name: file[name] for name in file.files}
        except UNREADABLE as error:
            reason = f"this holds no pictures: delete it and {path.stem}.json to measure anew"
            raise OSError(None, reason, str(path)) from error

    def publish(self, results: Iterable[dict[str, Any]]) -> None:
        """Add results and their sheets to those of the page.

        Args:
            results: as `result` returns them.
        """
        assert self.published is not None
        self.published.mkdir(parents=True, exist_ok=True)
        found = self._published | {result["key"]: result for result in results}
        for result in found.values():
            if "sheets" in result and not (self.published / result["sheets"]).exists():
                with replacing(self.published / result["sheets"]) as part:
                    shutil.copyfile(self._sheets(result), part)
        lines = [json.dumps(found[key]) + "\n" for key in sorted(found)]
        with replacing(self.published / "results.jsonl") as part:
            part.write_text("".join(lines), "utf-8")

    @cached_property
    def _published(self) -> dict[str, dict[str, Any]]:
        path = self.published / "results.jsonl" if self.published else None
        if path is None or not path.exists():
            return {}
        try:
            results = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            return {r["key"]: r | {k: r[k] for k in ("data", "fingerprint")} for r in results}
        except (ValueError, LookupError, TypeError) as error:
            raise OSError(None, "this holds no results of papers", str(path)) from error

    def _sheets(self, result: dict[str, Any]) -> Path:
        own = self.folder / "results" / result["sheets"]
        return self.published / result["sheets"] if self.published and not own.exists() else own

    def _result(self, job: Job, fingerprint: str, scale: Scale) -> Path:
        return self.folder / "results" / f"{job.key(fingerprint, scale)}.json"


def _short(value: Any) -> Any:  # noqa: ANN401 - JSON has any
    """Round all numbers to six digits: files stay small, and say no more than is known."""
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_short(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
