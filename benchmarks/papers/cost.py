"""Measure the processor time and the memory of one training step, in a separate process.

The step trains on strokes that the program draws itself, so no set of images is needed.

Seconds are those of the processor, which other work on the machine hardly changes. Memory is the
peak of the process less what it held once the libraries were loaded. Run as a module, this reads a
configuration from stdin and writes what it measured to stdout.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ...models.vae.config import VaeConfig
from ...models.vae.objectives import TrainConfig
from .data import ImageSet
from .jobs import Job
from .strokes import draw_strokes

KIB = 1024


def measure(job: Job) -> dict[str, Any]:
    """Measure a job's step, and its sampling where the job asks for samples.

    Raises:
        OSError: the process failed.
    """
    asked = {
        "model": job.model.to_json(),
        "training": job.training.to_json(),
        "steps": job.option("steps"),
        "samples": job.option("samples", 0),
    }
    done = subprocess.run(
        [sys.executable, "-m", __name__], input=json.dumps(asked), capture_output=True, text=True
    )
    if done.returncode:
        raise OSError(None, f"measuring {job.name} failed: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure_here(asked: dict[str, Any]) -> dict[str, Any]:
    """Measure in this process; its peak of memory must be young."""
    import torch

    from ...models.vae.model import Hvae, parameters
    from ...models.vae.training import Trainer

    torch.manual_seed(0)
    config = VaeConfig.from_json(asked["model"])
    training = TrainConfig.from_json(asked["training"])
    channels, side, _ = config.image
    strokes = draw_strokes(256, side, channels, seed=0)
    images = ImageSet(strokes, strokes, strokes, binary=config.likelihood == "bernoulli")
    before = _start_peak()
    model = Hvae(config)
    model.fit(images.train_batches)
    trainer = Trainer(model, training, images)
    trainer.update()
    seconds = []
    for _ in range(asked["steps"]):
        began = time.process_time()
        trainer.update()
        seconds.append(time.process_time() - began)
    result = {
        "step_cpu_s": sorted(seconds)[len(seconds) // 2],
        "bytes": max(1, _peak_bytes() - before),
        "parameters": parameters(model),
        "steps": asked["steps"],
    }
    if asked["samples"]:
        model.eval()
        began = time.process_time()
        model.sample(asked["samples"])
        result["sampling_cpu_s"] = time.process_time() - began
    return result


def _start_peak() -> int:
    """Forget the peak of memory so far, and return what is held now, bytes."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status_bytes("VmRSS")
    except OSError:  # no Linux: the peak is that of the process's whole life
        return _peak_bytes()


def _peak_bytes() -> int:
    try:
        return _status_bytes("VmHWM")
    except OSError:
        import resource  # which Windows does not have

        unit = 1 if sys.platform == "darwin" else KIB  # macOS counts bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * KIB for line in lines if line.startswith(name + ":"))


if __name__ == "__main__":
    print(json.dumps(measure_here(json.load(sys.stdin))))
