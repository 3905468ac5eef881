"""One file that trains by itself: code, photographs and weights, for a machine without network.

pack.zip
  __main__.py        unpacks the rest and runs `packed`: python pack.zip --minutes 12 --out OUT
  settings.json      of the runs
  code/hvae_codec/   the modules that training needs
  data/, valid/      photographs, as many as there is room for
  start/             weights to start from; of a checkpoint its averages alone
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import torch

from ...codec.errors import DataError
from ...codec.files import evenly_chosen, find_images, replacing
from ..weight_models import is_weight_file
from .state import light, read_checkpoint, starting_point

MAIN = '''"""Unpack this file, and train: python pack.zip --minutes MINUTES --out FOLDER"""
import os
import signal
import subprocess
import sys
import tempfile
import zipfile

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # not before the folder is deleted
with tempfile.TemporaryDirectory() as folder:
    with zipfile.ZipFile(os.path.dirname(__file__) or __file__) as packed:
        packed.extractall(folder)
    code = os.path.join(folder, "code")
    paths = [code, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "hvae_codec.models.training.packed", folder, *sys.argv[1:]]
    child = subprocess.Popen(command, env=environment)
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup and `&` have it
                signal.signal(number, lambda *_: child.terminate())  # it saves, and ends
        status = child.wait()
    finally:
        child.terminate()
        child.wait()
sys.exit(status)
'''


def write_pack(
    out: Path,
    data: Path,
    valid: Path,
    starts: Sequence[Path],
    settings: dict[str, Any],
    max_bytes: int,
    valid_images: int = 4,
) -> int:
    """Write a pack of at most `max_bytes`; return how many training photographs it has.

    Args:
        out: the file.
        data: folder of training photographs, of which some are chosen at random.
        valid: folder of validation images.
        starts: weight files or checkpoints.
        settings: what `packed.run` is told, by name.
        max_bytes: of the file.
        valid_images: how many of those in `valid`.

    Raises:
        DataError: nothing of `data` fits.
        WeightsError: a start is neither.
        OSError: a folder holds no images, or the file cannot be written.
    """
    for number, qualities in enumerate(settings["qualities"]):
        starting_point(starts[min(number, len(starts) - 1)], tuple(qualities))
    images = find_images(data, deep=True)
    smallest = min(image.stat().st_size for image in images)
    random.Random(0).shuffle(images)
    checks = evenly_chosen(find_images(valid, deep=True), valid_images)
    count = 0
    with replacing(out) as part:
        # a zip knows no time before 1980, as files of some archives have it
        with ZipFile(part, "w", ZIP_STORED, strict_timestamps=False) as pack:
            pack.writestr("__main__.py", MAIN)
            pack.writestr("settings.json", json.dumps(settings))
            for module, name in _modules():
                pack.write(module, f"code/{name}", ZIP_DEFLATED)
            for number, start in enumerate(starts):
                pack.writestr(f"start/{number}{start.suffix}", _weights(start))
            for number, image in enumerate(checks):
                pack.write(image, f"valid/{number}{image.suffix.lower()}")
            directory = sum(_DIRECTORY_BYTES + len(name) for name in pack.namelist())
            rest = pack.start_dir + directory + _DIRECTORY_BYTES
            room = max_bytes - rest
            for image in images:
                size = image.stat().st_size + _ENTRY_BYTES
                if size <= room:
                    pack.write(image, f"data/{count}{image.suffix.lower()}")
                    room -= size
                    count += 1
        if not count:
            raise DataError(
                f"no photograph fits into a pack of {max_bytes} bytes: "
                f"the smallest has {smallest}, and code, weights and validation images {rest}"
            )
    return count


_DIRECTORY_BYTES = 46  # of a zip, for each file, and its name
_ENTRY_BYTES = 512
"""What a file takes in the pack beside its bytes, at most."""


def _weights(start: Path) -> bytes:
    """Return what a run reads of a weight file, which is all of it, or of a checkpoint."""
    if is_weight_file(start):
        return start.read_bytes()
    file = BytesIO()
    torch.save(light(read_checkpoint(start)), file)
    return file.getvalue()


def _modules() -> Iterator[tuple[Path, str]]:
    """Yield the files of the package that training needs, and their names in the pack."""
    package = __name__.split(".")[0]
    root = import_module(package)
    yield Path(str(root.__file__)), f"{package}/__init__.py"
    for name in ("bitstream", "codec", "models"):
        folder = Path(import_module(f"{package}.{name}").__path__[0])
        for module in sorted(folder.rglob("*.py")):
            yield module, f"{package}/{name}/{module.relative_to(folder).as_posix()}"
