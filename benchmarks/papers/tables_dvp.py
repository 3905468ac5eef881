"""DVP-VAE: its tables and figures."""

from __future__ import annotations

from typing import Any

from . import rules_dvp as rules
from .jobs import Chosen, Job, Table, conv_job, conv_training, dvp, ladder
from .rules import measured_only
from .scales import Scale

SIDES = {"mnist": 7, "omniglot": 5, "cifar10": 7}
"""Sides of the context (table 7)."""

ABLATED = (3, 7, 11)


def pseudo_inputs(scale: Scale, chosen: Chosen) -> list[Job]:
    """Tables 1 and 5: with pseudo-inputs and without."""
    found = []
    for data in ("mnist", "omniglot"):
        found.append(conv_job(scale, f"{data} none", data, seeds=3))
        found.append(conv_job(scale, f"{data} dvp", data, seeds=3, **dvp(SIDES[data])))
    return found


def colour(scale: Scale, chosen: Chosen) -> list[Job]:
    """Table 1, CIFAR-10."""
    return [conv_job(scale, "cifar10 dvp", "cifar10", **dvp(SIDES["cifar10"]))]


def depth(scale: Scale, chosen: Chosen) -> list[Job]:
    """Table 2, figures 7 and 8: two depths on CIFAR-10."""
    scales = {9: ((16, 4), (8, 3), (4, 2)), 18: ((16, 8), (8, 6), (4, 4))}
    return [
        conv_job(scale, f"L {layers}", "cifar10", scales=s, **dvp(SIDES["cifar10"]))
        for layers, s in scales.items()
    ]


def against_vdvae(scale: Scale, chosen: Chosen) -> list[Job]:
    """Table 3: VDVAE and DVP-VAE at equal steps."""
    return [
        conv_job(scale, "vdvae", "cifar10", readout="path"),
        conv_job(scale, "dvp", "cifar10", **dvp(SIDES["cifar10"])),
    ]


def aggregation(scale: Scale, chosen: Chosen) -> list[Job]:
    """Table 4: latent aggregation and the path."""
    return [
        conv_job(scale, f"{data} {kind}", data, seeds=3, readout=kind, **dvp(SIDES[data]))
        for data in ("mnist", "omniglot")
        for kind in ("path", "aggregate")
    ]


def ablation(scale: Scale, chosen: Chosen) -> list[Job]:
    """Figure 5: kind, size and prior of the pseudo-inputs."""
    return [
        conv_job(scale, f"{kind} {side} {prior}", "mnist", **dvp(side, context=kind, prior=prior))
        for side in scale.sweep(ABLATED, few=(3,))
        for prior in ("diffusion", "mixture")
        for kind in ("dct", "downsample")
    ]


def learned(scale: Scale, chosen: Chosen) -> list[Job]:
    """Figure 6: a learned matrix in the place of the DCT."""
    seeds = 2 if scale.tiny else 4
    linear, dct = dvp(7, context="linear"), dvp(7)
    return [
        conv_job(scale, "linear", "mnist", seeds=seeds, kind="sheets", **linear),
        conv_job(scale, "dct", "mnist", kind="sheets", **dct),
    ]


def cost(scale: Scale, chosen: Chosen) -> list[Job]:
    """Table 6: time and memory of a step, and of sampling."""
    options = (("steps", 1 if scale.tiny else 10), ("samples", 2 if scale.tiny else 1000))
    models: dict[str, dict[str, Any]] = {"dvp": dvp(7)}
    for count in scale.sweep((250, 500, 1000), few=(250,)):
        components = count // 50 if scale.tiny else count
        models[f"vamp {count}"] = {"prior": "vamp", "components": components}
    training = conv_training(scale, "mnist")
    return [
        Job(name, "", ladder(scale, "mnist", **model), training, kind="cost", options=options)
        for name, model in models.items()
    ]


def samples(scale: Scale, chosen: Chosen) -> list[Job]:
    """Figures 3, 4, 9 and 10: samples, and reconstructions by scale."""
    return [
        conv_job(scale, data, data, kind="sheets", **dvp(SIDES[data]))
        for data in scale.sweep(("mnist", "omniglot", "cifar10"), few=("mnist",))
    ]


BOUND = ("elbo", "iwae", "mean_exp_kl", "context_kl", "context_kl_continuous", "active_share")
TABLES = (
    Table(
        "dvp-vae/1",
        "DVP-VAE, tables 1 and 5",
        "Pseudo-inputs with a diffusion prior improve the likelihood.",
        "MNIST 78.85 (0.24) to 77.10 (0.05), OMNIGLOT to 89.07 (0.10)",
        pseudo_inputs,
        rules.pseudo_inputs_help,
        BOUND,
        (),
        "binary input for encoder and context; the bound of T = 50 steps",
    ),
    Table(
        "dvp-vae/cifar10",
        "DVP-VAE, table 1",
        "2.73 bits a dimension with 20M parameters.",
        "BPD 2.73",
        colour,
        measured_only,
        ("bpd", "elbo", "active_share", "parameters"),
    ),
    Table(
        "dvp-vae/2",
        "DVP-VAE, table 2, figures 7 and 8",
        "Deeper models are better, and no gradient spikes after the start.",
        "BPD 2.99 / 2.94 / 2.89 / 2.84, AU 94 / 93 / 98 / 97 % at L 20 / 28 / 36 / 44",
        depth,
        measured_only,
        ("bpd", "active_share", "largest_late_gradient", "skipped"),
        ("gradients",),
    ),
    Table(
        "dvp-vae/3",
        "DVP-VAE, table 3",
        "VDVAE's likelihood in about a third of its steps.",
        "BPD 2.86 after 0.4M steps, VDVAE 2.87 after 1.1M",
        against_vdvae,
        measured_only,
        ("bpd", "active_share", "steps"),
    ),
    Table(
        "dvp-vae/4",
        "DVP-VAE, table 4",
        "Latent aggregation makes many more units active.",
        "nearly all units are active: AU 33.2 to 91.5 % (MNIST), 71.3 to 93.4 % (OMNIGLOT)",
        aggregation,
        rules.aggregation_wakes_units,
        ("active_share", "elbo", "iwae"),
        ("kl_distribution",),
        "the rule was loosened after a probe of 600 steps: no blind test",
    ),
    Table(
        "dvp-vae/ablation",
        "DVP-VAE, figure 5",
        "The DCT is better than a smaller image over sizes and priors.",
        "curves: at all sizes and with both priors",
        ablation,
        rules.dct_beats_downsampling,
        ("elbo", "context_kl", "iwae"),
        ("ablation",),
    ),
    Table(
        "dvp-vae/learned",
        "DVP-VAE, figure 6",
        "A learned linear pseudo-input is mostly far less like its image than the DCT's.",
        "sheets of samples: it is meaningful in one seed of four, the DCT's always",
        learned,
        rules.learned_is_unstable,
        ("picture_error", "elbo"),
        ("sheets",),
    ),
    Table(
        "dvp-vae/6",
        "DVP-VAE, table 6",
        "Time and memory of a VampPrior grow with K, those of the diffusion are small.",
        "45 s, 3 GiB against 45 to 60 s, 4 to 6 GiB (500, 1000); 1,000 samples 2.2 s, Vamp 0.3",
        cost,
        rules.vamp_grows,
        ("step_cpu_s", "bytes", "sampling_cpu_s", "parameters"),
        (),
        "a CPU; memory is the process's peak beyond its start",
    ),
    Table(
        "dvp-vae/samples",
        "DVP-VAE, figures 3, 4, 9 and 10",
        "Pseudo-inputs hold the general appearance, the layers below add details.",
        "sheets",
        samples,
        measured_only,
        ("elbo", "picture_error"),
        ("sheets",),
    ),
)
