"""Runs and results on disk, named by the hash of all that they depend on.

OUT/runs/HASH/config.json, checkpoint.pt    a model that is trained, or half trained
OUT/results/HASH.json, HASH.npz             what was measured, and sheets of pictures
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...codec.files import replacing
from .jobs import Job
from .scales import Scale

Sheets = dict[str, NDArray[np.uint8]]
"""Pictures by name, (rows, columns, H, W) or (rows, columns, H, W, 3)."""


@dataclass(frozen=True)
class Store:
    """A folder of runs and results."""

    folder: Path

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
        """Return what was measured before, or None."""
        path = self._result(job, fingerprint, scale)
        return json.loads(path.read_text()) if path.exists() else None

    def save(
        self, job: Job, fingerprint: str, scale: Scale, result: dict[str, Any], sheets: Sheets
    ) -> dict[str, Any]:
        """Write what was measured; return it as it will be read."""
        path = self._result(job, fingerprint, scale)
        result = result | {"seed": job.training.seed}
        if sheets:
            with replacing(path.with_suffix(".npz")) as part, part.open("wb") as out:
                np.savez_compressed(out, **sheets)  # type: ignore[arg-type]
            result = result | {"sheets": path.with_suffix(".npz").name}
        with replacing(path) as part:
            part.write_text(json.dumps(result))
        return result

    def sheets(self, result: dict[str, Any]) -> Sheets:
        """Return the pictures of a result; none where it has none."""
        if "sheets" not in result:
            return {}
        with np.load(self.folder / "results" / result["sheets"]) as file:
            return {name: file[name] for name in file.files}

    def _result(self, job: Job, fingerprint: str, scale: Scale) -> Path:
        return self.folder / "results" / f"{job.key(fingerprint, scale)}.json"
