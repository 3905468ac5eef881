"""The notes on expressive VAEs, and the lossless mode."""

from __future__ import annotations

from . import rules_notes as rules
from .jobs import Chosen, Job, Table, conv_job, conv_training, ladder, serial, serial_training
from .scales import Scale


def collapse(scale: Scale, chosen: Chosen) -> list[Job]:
    """Sec. "Posterior Collapse": a toy that must collapse, and a PixelVAE."""
    toy = (("values", 5), ("steps", 100 if scale.tiny else 2000))
    training = conv_training(scale, "mnist")
    small = {"scales": ((7, 1),), "latent_channels": 4, "readout": "bottom"}
    layers = 1 if scale.tiny else 4
    pixel = ladder(scale, "mnist", **small, pixelcnn_layers=layers)
    return [
        Job("categorical", kind="categorical", seeds=1 if scale.tiny else 3, options=toy),
        Job("pixelcnn", "mnist", pixel, training),
        Job("factorised", "mnist", ladder(scale, "mnist", **small), training),
    ]  # fmt: skip


def gaps(scale: Scale, chosen: Chosen) -> list[Job]:
    """Sec. "Inference Suboptimality": both gaps, and an inverse autoregressive flow."""
    options = (("steps", 2 if scale.tiny else 500), ("samples", 4 if scale.tiny else 2000),
               ("images", 4 if scale.tiny else 100))  # fmt: skip
    training = serial_training(scale, chosen)
    return [
        Job("gaussian", "mnist", serial(scale, (32,)), training, kind="gaps", options=options),
        Job("iaf", "mnist", serial(scale, (32,), flow_steps=4), training, kind="gaps",
            options=options),
    ]  # fmt: skip


def lossless(scale: Scale, chosen: Chosen) -> list[Job]:
    """Chains of images coded with bits-back: three priors of the context, and pixels in colour."""
    steps = 2 if scale.tiny else 10
    context = {
        "context": "dct", "context_side": 4, "context_code": "lattice", "context_bits": 4,
        "diffusion_steps": steps, "diffusion_train_steps": steps,
    }  # fmt: skip
    scales = {"mnist": ((7, 2), (4, 1)), "cifar10": ((16, 2), (8, 1))}
    chains = [("mnist", prior) for prior in ("gaussian", "mixture", "diffusion")]
    return [
        conv_job(
            scale, f"{data} {prior}", data, kind="lossless", options=(("images", scale.chain),),
            scales=scales[data], prior=prior, **context,
        )
        for data, prior in (*chains, ("cifar10", "gaussian"))
    ]  # fmt: skip


TABLES = (
    Table(
        "notes/collapse",
        "notes, Posterior Collapse",
        "A likelihood that can be p(x) alone ignores z; independent pixels must use it.",
        "shown by an argument, not by numbers",
        collapse,
        rules.expressive_decoders_collapse,
        ("kl", "elbo", "excess_nats"),
    ),
    Table(
        "notes/gaps",
        "notes, Inference Suboptimality (Cremer 2018)",
        "The amortisation gap is larger than the approximation gap.",
        "the Gaussian family costs little",
        gaps,
        rules.amortisation_dominates,
        ("elbo", "approximation", "amortisation", "log_likelihood"),
    ),
    Table(
        "lossless",
        "no paper: the bound of a model with continuous latents, as bytes",
        "Bits-back coding of context, latents and pixels takes as many bits as the bound says.",
        "BB-ANS: within 1 % of the ELBO",
        lossless,
        rules.lossless_is_the_bound,
        ("images", "exact", "bits_image", "elbo_bits_image", "excess", "net_excess"),
        (),
        "float64 networks on one machine with one thread: the files are not portable",
    ),
)
