"""All graphs of a weight file, by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch

from ...codec.errors import TorchMissing
from ...codec.symbols.schedule import EVERYWHERE, CodingStep
from ..dct_vae import ContextModel, LatentModel
from ..integer import convert
from ..integer.layers import FloatGain
from ..integer.prepared import PreparedConv, PreparedGain, PreparedNorm
from ..networks.analysis import LatentPosterior
from ..networks.step import StepNetwork
from ..priors.masked_diffusion import MaskedDiffusion
from .exporting import Exported, bound, exported, file_tensors
from .networks import (
    ContextAnalysis,
    ContextBegin,
    ContextFirstSlice,
    ContextSlice,
    ContextStep,
    Convolution,
    ImageAnalysis,
    Posterior,
    Reconstruct,
    Synthesise,
    TrunkBegin,
    TrunkStep,
    step_network,
)


def export_graphs(context: ContextModel, latents: LatentModel) -> Exported:
    """Export all graphs of integer models.

    Raises:
        TorchMissing: as `check_exporter`.
    """
    check_exporter()
    return {
        **_context_graphs(context),
        **_transform_graphs(context, latents),
        **_step_graphs(context, latents),
    }


def check_exporter() -> None:
    """Find out whether graphs can be exported here.

    Raises:
        TorchMissing: the packages that `torch.onnx.export` needs are not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise TorchMissing(
            "exporting weights needs onnx and onnxscript: pip install 'hvae-codec[torch]'"
        ) from error


def _context_graphs(context: ContextModel) -> Exported:
    """Export the graphs of the masked diffusion.

    The graphs that serve several steps are exported from networks of made-up sizes, all of them
    different, so that no two dimensions pass for one.
    """
    prior = context.prior
    steps = _made_up_steps(prior.width, (2, 2), context.config.prior_hidden)
    previous, current, blind = (cast(StepNetwork, convert.prepared(each, 50)) for each in steps)
    prior = cast(MaskedDiffusion, convert.prepared(prior, 50))
    size, at = (1, prior.width, 4, 6), torch.arange(5)
    states = ["h_next", "here", "raw"]
    embed, head = {"previous.embed.": previous.embed}, {"current.head.": current.head}
    revealed = {"h": torch.zeros(size), "values": torch.zeros(1, 7, 4, 6), "positions": at}
    norm = _made_up_norm(7, 2, dimensions=4)
    begin = exported(
        ContextBegin(prior),
        {"nothing": torch.zeros(size), "positions": at},
        states,
        {"prior.start.": prior.start, "prior.steps.0.head.": step_network(prior, 0).head},
    )
    block_step = exported(
        ContextStep(norm, previous, current),
        revealed,
        states,
        {"norm.": norm, **embed, **head, "current.block.": current.block},
        dynamic=True,
    )
    blind_step = exported(
        ContextStep(norm, previous, blind),
        revealed,
        states,
        {"norm.": norm, **embed, "current.head.": blind.head},
        dynamic=True,
    )
    graphs = {
        **_convolution(),
        "context.begin": begin,
        "context.step": block_step,
        "context.blind_step": blind_step,
        **_slices(prior, current),
    }
    return {name: bound(graph, {}, {}) for name, graph in graphs.items()}


def _slices(prior: MaskedDiffusion, current: StepNetwork) -> dict[str, Any]:
    """Export the graphs of a step's first slice and of a later one."""
    predicted = ["mean", "steps", "quarters"]
    raw = torch.zeros(1, 2 * current.channels, 5, 1)
    norm = _made_up_norm(3, 2, dimensions=3)
    current.head_gain = cast(FloatGain, PreparedGain(*torch.zeros(2, 1, 2 * 2, 1, 1)))
    first_slice = exported(
        ContextFirstSlice(norm, current),
        {"raw": raw, "outputs": current.outputs(0, 2, raw.device)},
        predicted,
        {"norm.": norm, "current.head_gain.": current.head_gain},
        dynamic=True,
    )
    norm = _made_up_norm(5, 6, dimensions=3)
    current.head_gain = cast(FloatGain, PreparedGain(*torch.zeros(2, 1, 2 * 6, 1, 1)))
    later_slice = exported(
        ContextSlice(norm, current, 2),
        {
            "here": torch.zeros(1, prior.width, 5, 1),
            "raw": raw,
            "values": torch.zeros(1, 5, 5),
            "means": torch.zeros(1, 5, 5),
            "outputs": current.outputs(5, 11, raw.device),
        },
        predicted,
        {
            "norm.": norm,
            "current.head_gain.": current.head_gain,
            "current.channel_contexts.1.": current.channel_contexts[1],
        },
        dynamic=True,
    )
    return {"context.first_slice": first_slice, "context.slice": later_slice}


def _convolution() -> dict[str, Any]:
    """Export the convolution that tells whether sums are exact."""
    conv = PreparedConv(torch.zeros(8, 7, 3, 3), torch.zeros(8))
    x = torch.zeros(1, 7, 4, 6)
    graph = exported(Convolution(conv), {"x": x}, ["sums"], {"conv.": conv}, dynamic=True)
    return {"convolution": graph}


def _transform_graphs(context: ContextModel, latents: LatentModel) -> Exported:
    """Export the graphs between pixels, context and latents."""
    config = context.config
    rgb, u = torch.rand(1, 3, 96, 64) * 255, torch.zeros(1, config.context_channels, 3, 2)
    z = torch.zeros(1, config.latent_channels, 12, 8)
    names = "quality_32", "quality_8", "quality_4"
    quality = {name: torch.full((1, 1, 1, 1), 50) for name in names}  # one tensor is one input
    patches = {"quality_32": quality["quality_32"]}
    trunk = latents.trunk
    graphs = {
        "context.exact": exported(ContextAnalysis(context), {"rgb": rgb, **patches}, ["exact"]),
        "analysis": exported(
            ImageAnalysis(context, latents),
            {"rgb": rgb, "u": u, **quality},
            ["features", "coefficients"],
            {"analysis.": latents.analysis, "step_gain.": latents.step_gain},
        ),
        "trunk.begin": exported(
            TrunkBegin(context, latents),
            {"u": u, **patches},
            ["h"],
            {
                "context.norm.": context.norm,
                **{f"trunk.{name}.": getattr(trunk, name) for name in ("stem", "top", "up")},
            },
        ),
        "reconstruction": exported(
            Reconstruct(latents),
            {"quarters": torch.zeros(5, dtype=torch.uint8), "symbols": torch.ones(5)},
            ["offsets"],
            {"reconstruction.": latents.reconstruction},
        ),
        "synthesis": exported(
            Synthesise(context, latents),
            {"u": u, "latents": z, **quality},
            ["rgb"],
            {"synthesis.": latents.synthesis, "step_gain.": latents.step_gain},
        ),
    }
    own = {**file_tensors(context, "context."), **file_tensors(latents, "")}
    return {name: bound(graph, {"": ""}, own) for name, graph in graphs.items()}


def _step_graphs(context: ContextModel, latents: LatentModel) -> Exported:
    """Export the graphs of the trunk's steps and of their posteriors.

    They differ in sizes. Each is exported once, and bound to the tensors of every step.
    """
    config, trunk = context.config, latents.trunk
    previous, current, _ = _made_up_steps(config.trunk_width, (0, 4), 0)
    h, size = torch.zeros(1, config.trunk_width, 12, 8), (12, 8)
    names = ("block", "head", "head_gain")
    own = {f"current.{name}.": getattr(current, name) for name in names}
    inputs = {"h": h, "quality_8": torch.full((1, 1, 1, 1), 50)}
    outputs = ["h_next", "mean", "quarters"]
    first = exported(TrunkStep(None, current), inputs, outputs, own, dynamic=True)
    later = exported(
        TrunkStep(previous, current),
        {**inputs, "values": torch.zeros(1, previous.channels, *size)},
        outputs,
        {**own, "previous.embed.": previous.embed},
        dynamic=True,
    )
    made_up = CodingStep(0, 0, 0, 7, EVERYWHERE, True, ((0, 7),))
    posterior = exported(
        Posterior(LatentPosterior(config, made_up)),
        {
            "features": torch.zeros(1, config.analysis_widths[1], *size),
            "coefficients": torch.zeros(1, 7, *size),
            "h": h,
            "mean": torch.zeros(1, 7, *size),
        },
        ["residual"],
        {"posterior.": LatentPosterior(config, made_up)},
        dynamic=True,
    )
    tensors = file_tensors(latents, "")
    graphs = {}
    for step in trunk.schedule:
        number = step.number
        prefixes = {
            "previous.": f"trunk.steps.{number - 1}.", "current.": f"trunk.steps.{number}."
        }  # fmt: skip
        graphs[f"trunk.step.{number}"] = bound(later if number else first, prefixes, tensors)
        graphs[f"posterior.{number}"] = bound(
            posterior, {"posterior.": f"posteriors.{number}."}, tensors
        )
    return graphs


def _made_up_norm(inward: int, outward: int, dimensions: int) -> PreparedNorm:
    """Return a norm of so many channels each way, for arrays of so many dimensions."""
    rows = (torch.ones(1, n, dtype=torch.float64) for n in (inward, outward))
    return PreparedNorm(*(row[(..., *[None] * (dimensions - 2))] for row in rows))


def _made_up_steps(
    width: int, scales: tuple[int, int], hidden: int
) -> tuple[StepNetwork, StepNetwork, StepNetwork]:
    """Return integer networks of a step, of the next, and of the next without a block."""
    before = CodingStep(0, 0, 0, 7, EVERYWHERE, True, ((0, 7),))
    step = CodingStep(1, 1, 7, 18, EVERYWHERE, True, ((7, 9), (9, 12), (12, 18)))
    if not hidden:
        step = replace(step, slices=((7, 18),))
    previous, current, blind = (
        cast(StepNetwork, convert.empty_integer(StepNetwork(width, each, False, scales, hidden)))
        for each in (before, step, replace(step, has_block=False))
    )
    return previous, current, blind
