"""Datasets of images to datasets of coded files, and back: sources, shards, engines.

Bytes in and out: nothing here imports PyTorch. What a plain install lacks (fsspec, pyarrow, Ray) is
imported where it is used. Start reading at `transcode.py`, then `run.py`.
"""

from .local import Local
from .on_ray import OnRay
from .row import Row
from .run import MODES, SHARD_SIZE, Engine, Job, Plan, Totals, plan, run
from .storage import Full
from .target import KINDS, Target
from .transcode import DEFAULT_MEMORY, ToCoded, ToImages, transcode_bytes

__all__ = [
    "DEFAULT_MEMORY",
    "KINDS",
    "MODES",
    "SHARD_SIZE",
    "Engine",
    "Full",
    "Job",
    "Local",
    "OnRay",
    "Plan",
    "Row",
    "Target",
    "ToCoded",
    "ToImages",
    "Totals",
    "plan",
    "run",
    "transcode_bytes",
]
