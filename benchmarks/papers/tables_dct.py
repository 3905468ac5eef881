"""DCT-VAE: its tables and figures."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

from ...codec.files import digest_of
from ...codec.networks.weight_paths import shipped_weights
from . import rules_dct as rules
from .jobs import Chosen, Job, Table, conv_job, dct_vae
from .scales import Scale

DEPTHS = {4: ((14, 2), (7, 2)), 6: ((14, 3), (7, 3)), 8: ((14, 4), (7, 4)), 10: ((14, 5), (7, 5))}
SIDES = (3, 5, 6, 7, 9)
FILE_QUALITY = 30

_job = partial(conv_job, readout="path")
"""VDVAE's readout, which DCT-VAE has: its likelihood sees the features of the last block."""


def _down(side: int, data: str) -> dict[str, Any]:
    return dct_vae(side, data, context="downsample")


def depths(scale: Scale, chosen: Chosen) -> list[Job]:
    """Table 1: VDVAE of four depths."""
    return [_job(scale, f"L {depth}", "mnist", scales=s) for depth, s in DEPTHS.items()]


def sets(scale: Scale, chosen: Chosen) -> list[Job]:
    """Table 2: three contexts on two sets."""
    found = []
    for data, side in (("mnist", 6), ("omniglot", 7)):
        found += [
            _job(scale, f"{data} dct", data, **dct_vae(side, data)),
            _job(scale, f"{data} downsample", data, **_down(side, data)),
            _job(scale, f"{data} none", data),
        ]
    return found


def sizes(scale: Scale, chosen: Chosen) -> list[Job]:
    """Figure 3: two contexts of growing size."""
    found = [_job(scale, "none", "mnist", seeds=3)]
    for side in scale.sweep(SIDES, few=(6, 9)):
        dct, down = dct_vae(side, "mnist"), _down(side, "mnist")
        found.append(_job(scale, f"dct {side}", "mnist", seeds=3 if side == 6 else 1, **dct))
        found.append(_job(scale, f"downsample {side}", "mnist", **down))
    return found


def units(scale: Scale, chosen: Chosen) -> list[Job]:
    """Table 4: active units with and without the context."""
    found = []
    for data, side in (("mnist", 6), ("omniglot", 7), ("cifar10", 6)):
        found.append(_job(scale, f"{data} none", data))
        found.append(_job(scale, f"{data} dct", data, **dct_vae(side, data)))
    return found


def colour(scale: Scale, chosen: Chosen) -> list[Job]:
    """Table 3 and figure 4: CIFAR-10, and reconstruction from the first layers."""
    return [
        _job(scale, "none", "cifar10", kind="layers"),
        _job(scale, "dct", "cifar10", kind="layers", **dct_vae(6, "cifar10")),
    ]


def photographs(scale: Scale, chosen: Chosen) -> list[Job]:
    """Figures 5 and 6: Kodak in patches, from the context alone."""
    return [
        _job(scale, "kodak", "cifar10", kind="kodak", **dct_vae(6, "cifar10")),
        # the two top layers: layers below number 3, of which 0 does not exist
        _job(scale, "vdvae", "cifar10", kind="kodak", options=(("count", 3),)),
    ]


def files(scale: Scale, chosen: Chosen) -> list[Job]:
    """Figure 5 by files: the codec's own context."""
    options = (("quality", FILE_QUALITY), ("weights", _weights_hash()))
    return [Job("kodak", kind="codec", options=options)]


@cache
def _weights_hash() -> str:
    return digest_of(shipped_weights("psnr")).hex()[:8]


TABLES = (
    Table(
        "dct-vae/1",
        "DCT-VAE, table 1 and figure 1",
        "Deeper VDVAEs leave more units unused, while the likelihood hardly gains.",
        "AU 38.3 / 37.9 / 33.5 / 33.6 %, NLL 79.6 / 78.8 / 78.3 / 77.9 at L 4 / 6 / 8 / 10",
        depths,
        rules.depth_kills_units,
        ("active_share", "dead_share", "elbo", "iwae", "mean_exp_kl"),
        ("kl_distribution",),
        "binary input for the encoder",
    ),
    Table(
        "dct-vae/2",
        "DCT-VAE, table 2",
        "A DCT context improves the likelihood, a downsampled one less so.",
        "NLL, MNIST 76.62 / 77.52 / 78.27, OMNIGLOT 86.11 / 87.69 / 88.14 with DCT / downsampled "
        "/ no context",
        sets,
        rules.context_helps_both,
        ("elbo", "iwae", "mean_exp_kl", "context_kl", "context_kl_continuous"),
        (),
        "OMNIGLOT reduced and parted otherwise",
    ),
    Table(
        "dct-vae/3",
        "DCT-VAE, figure 3",
        "A DCT context of d = 6 improves the likelihood; one of d = 9 is better than a downsampled "
        "one.",
        "curves: the DCT is better at every size, large downsampled contexts are worse than none; "
        "the best DCT holds about 5 % of the pixels",
        sizes,
        rules.dct_helps,
        ("elbo", "iwae", "mean_exp_kl", "context_kl", "context_kl_continuous"),
        ("context_sizes",),
    ),
    Table(
        "dct-vae/4",
        "DCT-VAE, table 4",
        "The context makes more units active.",
        "AU 34.4 to 41.9 % (MNIST), 50.4 to 60.5 % (OMNIGLOT), 7.1 to 10.8 % (CIFAR-10)",
        units,
        rules.context_wakes_units,
        ("active_share", "unit_kl_mean", "elbo"),
        ("kl_distribution",),
        "the context's own units are not counted",
    ),
    Table(
        "dct-vae/5",
        "DCT-VAE, table 3 and figure 4",
        "The context costs no likelihood on CIFAR-10, and holds most of the picture.",
        "BPD 3.26 with, 3.28 without; MS-SSIM of the context alone above 0.8",
        colour,
        rules.context_alone_is_like,
        ("bpd", "elbo", "active_share"),
        ("similarity",),
        "part of CIFAR-10 as far as only part is at hand",
    ),
    Table(
        "dct-vae/6",
        "DCT-VAE, figures 5 and 6",
        "At equal PSNR the context takes fewer bits than JPEG.",
        "curves on Kodak: far fewer bits than JPEG, and fewer than VDVAE's top layers",
        photographs,
        rules.context_beats_jpeg,
        ("wins", "images", "context_bpp", "context_psnr_db", "jpeg_bpp"),
        ("rate_distortion",),
        "all else is drawn from p at temperature 0.1; bits are KL, not files; where JPEG cannot go "
        "so low, its smallest file counts",
    ),
    Table(
        "dct-vae/files",
        "DCT-VAE, figure 5, by files",
        "The context of this codec takes fewer bits than JPEG at equal PSNR.",
        "curves on Kodak",
        files,
        rules.context_beats_jpeg,
        ("wins", "images", "context_bpp", "context_psnr_db", "jpeg_bpp"),
        ("rate_distortion",),
        "another model, over whole images; bits are those of its files at quality 30, with all but "
        "the context left out; where JPEG cannot go so low, its smallest file counts; other "
        "qualities were looked at before",
    ),
)
