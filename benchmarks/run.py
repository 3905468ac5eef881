"""Run codecs over a folder of images, by way of files on disk, and keep what was measured."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..bitstream import HvaeError
from ..codec import processes
from ..codec.networks.threads import THREADS_VARIABLE
from .codecs import Codec

if TYPE_CHECKING:
    from PIL import Image

CACHE = "cache.jsonl"


@dataclass(frozen=True)
class Record:
    """One image through one codec at one setting.

    Attributes:
        description: of the codec, with its versions.
        scorers: what computed the metrics; see `metrics.scorers`.
        image_sha256: of the image's file.
        ms_ssim, ssim, ssimulacra2: NaN where the image is too small for them.
        butteraugli_3norm: NaN also where its program is not installed.
    """

    codec: str
    description: str
    scorers: str
    setting: int
    image: str
    image_sha256: str
    width: int
    height: int
    file_bytes: int
    bpp: float
    psnr_db: float
    psnr_luma_db: float
    ms_ssim: float
    ssim: float
    ssimulacra2: float
    butteraugli_3norm: float


def read_image(path: Path) -> Image.Image:
    """Read the pixels of an image as RGB; metadata would not be the same bytes in every format.

    Raises:
        OSError: it cannot be read.
    """
    from PIL import Image

    from ..codec.images import read_rgb

    return Image.fromarray(read_rgb(path))


def run(
    paths: Sequence[Path],
    codecs: Sequence[Codec],
    out: Path,
    *,
    jobs: int = 1,
    progress: bool = False,
) -> list[Record]:
    """Measure images through every codec at every setting, but not what was measured before.

    The files stay behind as `out/files/<codec>/<setting>/<image><suffix>`, what was measured of
    them in `out/cache.jsonl`, a line as soon as it is known: a run that was cut goes on there.

    Args:
        paths: the images.
        codecs: what to compare; those that are there for their times are left out.
        out: folder for the files.
        jobs: number of processes. With one, all happens in this process.
        progress: show a bar on stderr.

    Raises:
        OSError: an image cannot be read, or a codec refuses it.
    """
    from tqdm import tqdm

    codecs = [codec for codec in codecs if not codec.times_only]
    records, tasks = _measured_before(paths, codecs, out)
    total = sum(len(missing) for *_, missing, _ in tasks)
    out.mkdir(parents=True, exist_ok=True)
    with (
        tqdm(total=total, unit="file", desc="files", disable=not progress or not total) as bar,
        (out / CACHE).open("a", encoding="utf-8") as cache,
    ):
        for (_, path, *_), found in parallel(_measure_all, tasks, jobs):
            for record in found:
                records[path, record.codec, record.setting] = record
                cache.write(json.dumps(asdict(record)) + "\n")
            cache.flush()
            bar.update(len(found))
    # a codec's rows stand together, whatever was finished first
    return [
        records[path, codec.name, setting]
        for codec in codecs
        for setting in codec.settings
        for path in paths
    ]


def _measured_before(
    paths: Sequence[Path], codecs: Sequence[Codec], out: Path
) -> tuple[dict[tuple[Path, str, int], Record], list[tuple]]:
    """Return records by image, codec and setting, and the tasks that are left."""
    from . import metrics

    known, scorers = _read_cache(out), metrics.scorers()
    records: dict[tuple[Path, str, int], Record] = {}
    tasks = []
    for path in paths:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        for codec in codecs:
            missing = []
            for setting in codec.settings:
                record = known.get((codec.name, codec.description, scorers, setting, digest))
                if record and _is_there(record, codec, path, out):
                    records[path, codec.name, setting] = replace(record, image=path.name)
                else:
                    missing.append(setting)
            if missing:
                tasks.append((codec, path, digest, missing, out))
    return records, tasks


def parallel(function, tasks: Sequence[tuple], jobs: int) -> Iterator[tuple[tuple, list]]:  # noqa: ANN001
    """Call a function with each tuple of arguments in `jobs` processes; yield in their order."""
    if jobs == 1:
        for task in tasks:
            yield task, function(*task)
        return
    found = processes.results(
        partial(_call, function),
        tasks,
        min(jobs, max(len(tasks), 1)),
        _killed,
        ahead=len(tasks) + 1,
        at_begin=_use_one_thread,
    )
    with closing(found):
        yield from zip(tasks, found, strict=True)


def _call(function, task: tuple) -> list:  # noqa: ANN001
    return function(*task)


def _killed(task: tuple) -> list:
    raise OSError(None, "a process was killed (too little memory?)", str(task))


def _use_one_thread() -> None:
    """Say so where ONNX Runtime and PyTorch look when they load; a JPEG needs neither."""
    os.environ.update({THREADS_VARIABLE: "1", "OMP_NUM_THREADS": "1"})


def _measure_all(
    codec: Codec, path: Path, digest: str, settings: Sequence[int], out: Path
) -> list[Record]:
    image = read_image(path)
    return [_measure(codec, path.name, digest, image, setting, out) for setting in settings]


def _measure(
    codec: Codec, name: str, digest: str, image: Image.Image, setting: int, out: Path
) -> Record:
    import numpy as np

    from . import metrics

    file = _file(codec, setting, name, out)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        file.write_bytes(codec.encode(image, setting))
        before, after = np.asarray(image), np.asarray(codec.decode(file.read_bytes()))
        scores = metrics.scores(before, after)
    except (HvaeError, OSError, ValueError, RuntimeError, subprocess.SubprocessError) as error:
        raise OSError(None, f"{codec.name} at setting {setting}: {error}", name) from error
    file_bytes = file.stat().st_size
    return Record(
        codec=codec.name,
        description=codec.description,
        scorers=metrics.scorers(),
        setting=setting,
        image=name,
        image_sha256=digest,
        width=image.width,
        height=image.height,
        file_bytes=file_bytes,
        bpp=metrics.bits_per_pixel(file_bytes, image.width, image.height),
        **scores,
    )


def _file(codec: Codec, setting: int, image: str, out: Path) -> Path:
    return out / "files" / codec.name / str(setting) / (image + codec.suffix)


def _read_cache(out: Path) -> dict[tuple[str, str, str, int, str], Record]:
    """Read what earlier runs measured.

    Returns:
        (codec, description, scorers, setting, image's sha256) -> record.
    """
    known = {}
    path = out / CACHE
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        try:
            record = Record(**json.loads(line))
        except (ValueError, TypeError):
            continue  # cut while it was written, or of a version that measured something else
        key = record.codec, record.description, record.scorers, record.setting, record.image_sha256
        known[key] = record
    return known


def _is_there(record: Record, codec: Codec, path: Path, out: Path) -> bool:
    """Tell whether the file that a record speaks of still lies there."""
    file = _file(codec, record.setting, path.name, out)
    return file.is_file() and file.stat().st_size == record.file_bytes
