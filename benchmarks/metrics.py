"""What is measured of one decoded image."""

import functools
import hashlib
import math
import shutil
import subprocess
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..codec.color import RGB_TO_YCBCR
from ..codec.quality.curve import psnr_db
from ..codec.rate_control import score

PACKAGES = ("pytorch-msssim", "scikit-image", "ssimulacra2")
"""Python packages that compute metrics."""

VERSION = 1
"""Version of the code that computes metrics. Raise it when `scores` gives other numbers."""

BUTTERAUGLI = "butteraugli_main"
"""libjxl's program."""

MS_SSIM_MIN_PX = 161
"""Smallest side that MS-SSIM's five scales with an 11-tap window leave anything of."""

SSIM_MIN_PX = 11
"""The window's side."""

SSIMULACRA2_MIN_PX = BUTTERAUGLI_MIN_PX = score.SMALLEST_PX
"""Smallest side that they look at."""

_LUMA = RGB_TO_YCBCR[0]


def scores(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> dict[str, float]:
    """Return all that a `run.Record` has of two images, by its names.

    Raises:
        ValueError: they differ in size.
        CalledProcessError: libjxl's program failed.
        MetricMissing: the package of SSIMULACRA2 is not installed.
    """
    return {
        "psnr_db": psnr_rgb(original, decoded),
        "psnr_luma_db": psnr_luma(original, decoded),
        "ms_ssim": ms_ssim_rgb(original, decoded),
        "ssim": ssim_luma(original, decoded),
        "ssimulacra2": ssimulacra2_rgb(original, decoded),
        "butteraugli_3norm": butteraugli_rgb(original, decoded),
    }


@functools.cache
def scorers() -> str:
    """Name the software that computes `scores`: versions of our code and of packages, and a hash.

    The hash is that of libjxl's program; "missing" stands for it where that is not installed. The
    cache of results is keyed by all of this, since other versions may give other scores.
    """
    program = shutil.which(BUTTERAUGLI)
    found = hashlib.sha256(Path(program).read_bytes()).hexdigest()[:8] if program else "missing"
    return ", ".join(
        [
            f"version {VERSION}",
            *(f"{package} {version(package)}" for package in PACKAGES),
            f"{BUTTERAUGLI} {found}",
        ]
    )


def bits_per_pixel(file_bytes: int, width: int, height: int) -> float:
    """Divide the bits of a file by the pixels of its image."""
    return 8 * file_bytes / (width * height)


def psnr_rgb(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
    """Measure the PSNR over all samples of an RGB image together, in dB.

    Args:
        original: (H, W, 3), uint8.
        decoded: (H, W, 3), uint8.

    Returns:
        Infinity for equal images.

    Raises:
        ValueError: the shapes differ.
    """
    _check_shapes(original, decoded)
    return psnr_db(float(np.mean((original.astype(np.float64) - decoded) ** 2)))


def psnr_luma(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
    """Measure the PSNR of luma (BT.601, not rounded), in dB; otherwise as `psnr_rgb`."""
    _check_shapes(original, decoded)
    return psnr_db(float(np.mean(((original.astype(np.float64) - decoded) @ _LUMA) ** 2)))


def ms_ssim_rgb(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
    """Measure MS-SSIM (Wang et al. 2003) of RGB as CompressAI does, by the same library.

    Returns:
        0...1; NaN where a side is shorter than `MS_SSIM_MIN_PX`.
    """
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the library's, about its own source
        from pytorch_msssim import ms_ssim

    _check_shapes(original, decoded)
    if min(original.shape[:2]) < MS_SSIM_MIN_PX:
        return math.nan
    planes = [
        torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float()
        for image in (original, decoded)
    ]
    return float(ms_ssim(*planes, data_range=255))


def ssim_luma(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
    """Measure SSIM of luma with the settings of Wang et al. 2004.

    Returns:
        -1...1; NaN where a side is shorter than `SSIM_MIN_PX`.
    """
    from skimage.metrics import structural_similarity

    _check_shapes(original, decoded)
    if min(original.shape[:2]) < SSIM_MIN_PX:
        return math.nan
    planes = [(image @ _LUMA).astype(np.float32) for image in (original, decoded)]
    return float(
        structural_similarity(  # pyright: ignore
            *planes, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
        )
    )


def ssimulacra2_rgb(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
    """Measure SSIMULACRA2; see `codec.rate_control.score`.

    Returns:
        At most 100, below 0 for very different images; NaN where a side is shorter than
        `SSIMULACRA2_MIN_PX`.
    """
    from PIL import Image

    _check_shapes(original, decoded)
    if min(original.shape[:2]) < SSIMULACRA2_MIN_PX:
        return math.nan
    return score.ssimulacra2(Image.fromarray(original), Image.fromarray(decoded))


def butteraugli_rgb(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
    """Return the Butteraugli distance of two images: the 3-norm of the map of distances.

    libjxl's program `BUTTERAUGLI` computes it.

    The largest distance tells of the worst place of an image; the 3-norm weighs all places, and
    agrees better with people who compare whole images.

    Returns:
        0 for equal images, some 1 where the eye begins to see a difference; NaN without the
        program, or where a side is shorter than `BUTTERAUGLI_MIN_PX`.
    """
    from PIL import Image

    _check_shapes(original, decoded)
    program = shutil.which(BUTTERAUGLI)
    if program is None or min(original.shape[:2]) < BUTTERAUGLI_MIN_PX:
        return math.nan
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("original.png", "decoded.png")]
        for path, image in zip(paths, (original, decoded), strict=True):
            Image.fromarray(image).save(path, compress_level=1)
        done = subprocess.run([program, *paths], capture_output=True, text=True, check=True)
    return float(done.stdout.rpartition("3-norm:")[2])


def butteraugli_db(distance: float) -> float:
    """Give a distance as a quality that rises: -10 log10(distance); infinity for 0."""
    return -10 * math.log10(distance) if distance else math.inf


def ms_ssim_db(value: float) -> float:
    """Spread an MS-SSIM near 1 out: -10 log10(1 - value); infinity for 1."""
    return -10 * math.log10(1 - value) if value < 1 else math.inf if value >= 1 else math.nan


def _check_shapes(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> None:
    if original.shape != decoded.shape:
        raise ValueError(f"shapes differ: {original.shape} and {decoded.shape}")
