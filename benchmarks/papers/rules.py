"""When a claim counts as reproduced: rules that look at numbers and at nothing else.

They were written before the runs. What stands in a docstring below its first line is the rule in
words, which the report repeats.
A rule gets the results of a table: for each job a list of what was measured, one entry a seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Result = Mapping[str, Any]
Results = Mapping[str, Sequence[Result]]

REPRODUCED = "reproduced"
DIRECTION = "direction only"
NOT_REPRODUCED = "not reproduced"
NOT_TESTED = "not tested"

FEWEST_SEEDS = 3


@dataclass(frozen=True)
class Verdict:
    """What a rule says, and the numbers that it looked at."""

    outcome: str
    reason: str


class Missing(LookupError):
    """A job that a rule needs was not run."""


Rule = Callable[[Results], Verdict]


def values(results: Results, job: str, key: str) -> list[float]:
    """Return a number of each seed of a job.

    Raises:
        Missing: the job was not run, or does not have that number.
    """
    found = [r[key] for r in results.get(job, ()) if r.get(key) is not None]
    if not found:
        raise Missing(f"{job}: {key}")
    return [float(v) for v in found]


def mean(results: Results, job: str, key: str) -> float:
    """Return the mean over seeds."""
    found = values(results, job, key)
    return sum(found) / len(found)


def standard_error(found: Sequence[float]) -> float:
    """Return the standard error of the mean; not a number for one value."""
    if len(found) < 2:
        return math.nan
    middle = sum(found) / len(found)
    return math.sqrt(sum((v - middle) ** 2 for v in found) / (len(found) - 1) / len(found))


def difference(results: Results, better: str, worse: str, key: str) -> tuple[float, float]:
    """Return the mean of better - worse, paired by seed, and its standard error."""
    pairs = list(zip(values(results, better, key), values(results, worse, key), strict=False))
    gaps = [a - b for a, b in pairs]
    return sum(gaps) / len(gaps), standard_error(gaps)


def clear(gap: float, error: float) -> bool:
    """Tell whether a gap exceeds two standard errors; one seed is never clear."""
    return not math.isnan(error) and gap > 2 * error


def graded(full: bool, sign: bool, reason: str) -> Verdict:
    """Grade a claim: as claimed, only its sign, or neither."""
    return Verdict(REPRODUCED if full else DIRECTION if sign else NOT_REPRODUCED, reason)


def measured_only(results: Results) -> Verdict:
    """Measured only.

    No verdict: numbers at this scale say nothing about the claim.
    """
    return Verdict(NOT_TESTED, "measured, not judged at this scale")


# DCT-VAE


def depth_kills_units(results: Results) -> Verdict:
    """Depth kills units.

    AU(L 10) < AU(L 4); at L 8 at least 40 % of the units below 0.01 nats; the bound within 1.5
    nats over all L, or best at L 10. Without the last two: direction only.
    """
    first, last = (mean(results, job, "active_share") for job in ("L 4", "L 10"))
    dead = mean(results, "L 8", "dead_share")
    elbos = [mean(results, f"L {depth}", "elbo") for depth in (4, 6, 8, 10)]
    flat = max(elbos) - min(elbos) <= 1.5 or max(elbos) == elbos[-1]
    reason = (
        f"AU {first:.1%} at L 4, {last:.1%} at L 10; {dead:.0%} dead at L 8; "
        f"bounds {', '.join(f'{e:.1f}' for e in elbos)}"
    )
    return graded(last < first and dead >= 0.4 and flat, last < first, reason)


def dct_helps(results: Results) -> Verdict:
    """DCT helps.

    The bound with the DCT context (d = 6) is higher than without by more than two standard
    errors over 3 seeds, and with d = 9 a downsampled context is worse than the DCT. The sign of
    the first alone: direction only.
    """
    gap, error = difference(results, "dct 6", "none", "elbo")
    large = mean(results, "dct 9", "elbo") - mean(results, "downsample 9", "elbo")
    reason = f"DCT 6 - none {gap:+.2f} ({error:.2f}); DCT 9 - downsampled 9 {large:+.2f}"
    return graded(clear(gap, error) and large > 0, gap > 0, reason)


def context_helps_both(results: Results) -> Verdict:
    """Context helps both.

    On MNIST and OMNIGLOT the bounds rank DCT, downsampled, none. DCT above none on both:
    direction only.
    """
    ranks, signs, parts = [], [], []
    for data in ("mnist", "omniglot"):
        dct, down, none = (
            mean(results, f"{data} {kind}", "elbo") for kind in ("dct", "downsample", "none")
        )
        ranks.append(dct > down > none)
        signs.append(dct > none)
        parts.append(f"{data} {dct:.1f} / {down:.1f} / {none:.1f}")
    return graded(all(ranks), all(signs), "; ".join(parts))


def context_wakes_units(results: Results) -> Verdict:
    """Context wakes units.

    The share of active units is higher with the context than without, its own units not
    counted, on at least 2 of 3 sets. On one: direction only.
    """
    parts, wins = [], 0
    for data in ("mnist", "omniglot", "cifar10"):
        with_, without = (mean(results, f"{data} {k}", "active_share") for k in ("dct", "none"))
        wins += with_ > without
        parts.append(f"{data} {without:.1%} to {with_:.1%}")
    return graded(wins >= 2, wins == 1, "; ".join(parts))


def context_alone_is_like(results: Results) -> Verdict:
    """Context alone is like.

    BPD with and without the context within 0.05; MS-SSIM of the context alone at least 0.6,
    and at least 0.3 above the first layer of the model without. Only the last: direction only.
    """
    gap = mean(results, "none", "bpd") - mean(results, "dct", "bpd")
    alone, first = results["dct"][0]["ms_ssim"][0], results["none"][0]["ms_ssim"][0]
    reason = f"BPD {gap:+.3f} by the context; MS-SSIM {alone:.2f} against {first:.2f}"
    ahead = alone - first >= 0.3
    return graded(abs(gap) <= 0.05 and alone >= 0.6 and ahead, ahead, reason)


def context_beats_jpeg(results: Results) -> Verdict:
    """Context beats JPEG.

    The context's KL in bits a pixel is below JPEG's files at equal PSNR on at least 5 of 6
    images. On more than half: direction only.
    """
    wins, images = mean(results, "kodak", "wins"), mean(results, "kodak", "images")
    reason = (
        f"{wins:.0f} of {images:.0f} images; {mean(results, 'kodak', 'context_bpp'):.3f} against "
        f"{mean(results, 'kodak', 'jpeg_bpp'):.3f} bpp at "
        f"{mean(results, 'kodak', 'context_psnr_db'):.1f} dB"
    )
    return graded(wins >= images * 5 / 6, wins > images / 2, reason)


# OU-VAE


def best_smoothed(results: Results, prefix: str) -> str:
    """Return the smoothed job of the highest validation bound, never chosen by what is claimed."""
    jobs = [job for job in results if job.startswith(prefix) and results[job]]
    if not jobs:
        raise Missing(prefix)
    return max(jobs, key=lambda job: mean(results, job, "valid_elbo"))


def smoothing_rescues(results: Results) -> Verdict:
    """Smoothing rescues.

    On 4 x 40 and on 64-32-16-8, at the rate and rho that validation picks: top KL of the VAE
    below 0.1 nats and of the smoothed one at least 3; none of the VAE's top units active and at
    least half of the other's; and a better L_100. More top KL on both: direction only.
    """
    full, sign, parts = [], [], []
    for shape in ("4x40", "64-32-16-8"):
        vae, smooth = f"{shape} VAE", best_smoothed(results, f"{shape} OU")
        top = [mean(results, job, "top_kl") for job in (vae, smooth)]
        share = [mean(results, job, "top_active_share") for job in (vae, smooth)]
        gain = mean(results, smooth, "iwae") - mean(results, vae, "iwae")
        full.append(top[0] < 0.1 and top[1] >= 3 and not share[0] and share[1] >= 0.5 and gain > 0)
        sign.append(top[1] > top[0])
        parts.append(f"{shape}: top KL {top[0]:.2f} to {top[1]:.2f} ({smooth}), L {gain:+.1f} nats")
    return graded(all(full), all(sign), "; ".join(parts))


def phase_transition(results: Results) -> Verdict:
    """Phase transition.

    Between two neighbouring rho the top KL changes by a factor of at least 10 on both sets,
    at places at most one step apart. On one set only: direction only.
    """
    places, parts = [], []
    for data in ("mnist", "omniglot"):
        found = sorted(
            (float(job.split()[-1]), mean(results, job, "top_kl"))
            for job in results
            if job.startswith(f"{data} rho") and results[job]
        )
        if len(found) < 2:
            raise Missing(data)
        steps = [max(a, 1e-4) / max(b, 1e-4) for (_, a), (_, b) in pairwise(found)]
        steepest = max(range(len(steps)), key=lambda i: steps[i])
        parts.append(f"{data}: factor {steps[steepest]:.1f} after rho {found[steepest][0]:g}")
        places.append(steepest if steps[steepest] >= 10 else None)
    sharp = [place for place in places if place is not None]
    full = len(sharp) == len(places) and abs(sharp[0] - sharp[-1]) <= 1
    return graded(full, bool(sharp), "; ".join(parts))


def smoothing_wakes_the_grid(results: Results) -> Verdict:
    """Smoothing wakes the grid.

    The share of active units is higher with smoothing in at least 3 of 4 cells of depth and
    width. In more than half: direction only.
    """
    cells = sorted(job.removeprefix("VAE ") for job in results if job.startswith("VAE "))
    if not cells:
        raise Missing("grid")
    wins = sum(
        mean(results, f"OU {cell}", "active_share") > mean(results, f"VAE {cell}", "active_share")
        for cell in cells
    )
    return graded(
        wins >= 0.75 * len(cells), wins > 0.5 * len(cells), f"{wins} of {len(cells)} cells"
    )


def smoothing_is_better(results: Results) -> Verdict:
    """Smoothing is better.

    The smoothed model of four layers has a better L than the VAE of two by at least 1 nat.
    Better by less: direction only.
    """
    gain = mean(results, best_smoothed(results, "OU"), "iwae") - mean(results, "VAE L 2", "iwae")
    return graded(gain >= 1, gain > 0, f"{gain:+.2f} nats over the VAE")


def smoothing_is_better_in_resnets(results: Results) -> Verdict:
    """Smoothing is better in resnets.

    On OMNIGLOT the smoothed ResNet has a better bound than the plain one by at least 1 nat, and
    on CIFAR-10 skips and depth both lower BPD. The first with less, or one of the others:
    direction only.
    """
    gain = mean(results, "omniglot OU", "elbo") - mean(results, "omniglot VAE", "elbo")
    skips = mean(results, "cifar10 L 3", "bpd") - mean(results, "cifar10 L 3 skips", "bpd")
    depth = mean(results, "cifar10 L 3", "bpd") - mean(results, "cifar10 L 6", "bpd")
    reason = f"OMNIGLOT {gain:+.2f} nats; BPD {-skips:+.3f} by skips, {-depth:+.3f} by depth"
    return graded(gain >= 1 and skips > 0 and depth > 0, gain > 0 or skips > 0 or depth > 0, reason)


def smoothing_lowers_gradient_variance(results: Results) -> Verdict:
    """Smoothing lowers gradient variance.

    The variance of the gradient falls from each rho to the next smaller one. Only from the
    largest to the smallest: direction only.
    """
    found = sorted((float(job.split()[-1]), mean(results, job, "gradient_variance"))
                   for job in results if job.startswith("rho ") and results[job])  # fmt: skip
    if len(found) < 2:
        raise Missing("rho")
    variances = [v for _, v in found]
    falls = all(a < b for a, b in pairwise(variances))
    reason = ", ".join(f"{v:.3g} at {rho:g}" for rho, v in found)
    return graded(falls, variances[0] < variances[-1], reason)


def smoothing_is_cheap(results: Results) -> Verdict:
    """Smoothing is cheap.

    A step with smoothing (K = 5) takes at most 1.25 times that of the VAE, and at most 0.75 of
    the memory of IWAE (K = 5) beyond what the libraries take. Cheaper than IWAE in both:
    direction only.
    """
    slower = mean(results, "OU 5", "step_cpu_s") / mean(results, "VAE", "step_cpu_s")
    smaller = mean(results, "OU 5", "bytes") / mean(results, "IWAE 5", "bytes")
    sooner = mean(results, "OU 5", "step_cpu_s") < mean(results, "IWAE 5", "step_cpu_s")
    reason = f"time x {slower:.2f} of the VAE, memory x {smaller:.2f} of IWAE"
    return graded(slower <= 1.25 and smaller <= 0.75, smaller < 1 and sooner, reason)


# DVP-VAE


def pseudo_inputs_help(results: Results) -> Verdict:
    """Pseudo inputs help.

    The bound with pseudo-inputs is higher by at least 0.5 nats and more than two standard
    errors over 3 seeds on both sets. Higher on both: direction only.
    """
    full, sign, parts = [], [], []
    for data in ("mnist", "omniglot"):
        gap, error = difference(results, f"{data} dvp", f"{data} none", "elbo")
        full.append(gap >= 0.5 and clear(gap, error))
        sign.append(gap > 0)
        parts.append(f"{data} {gap:+.2f} ({error:.2f})")
    return graded(all(full), all(sign), "; ".join(parts))


def aggregation_wakes_units(results: Results) -> Verdict:
    """Aggregation wakes units.

    The share of active units is higher with aggregation in every seed of both sets, with a
    ratio of at least 1.5 on MNIST. Without the ratio: direction only.
    """
    sign, parts, ratio = [], [], 0.0
    for data in ("mnist", "omniglot"):
        sums, paths = (
            values(results, f"{data} {kind}", "active_share") for kind in ("aggregate", "path")
        )
        sign += [a > b for a, b in zip(sums, paths, strict=False)]
        ratio = ratio or mean(results, f"{data} aggregate", "active_share") / max(
            mean(results, f"{data} path", "active_share"), 1e-9
        )
        parts.append(f"{data} {sum(paths) / len(paths):.1%} to {sum(sums) / len(sums):.1%}")
    return graded(all(sign) and ratio >= 1.5, all(sign), "; ".join(parts))


def dct_beats_downsampling(results: Results) -> Verdict:
    """DCT beats downsampling.

    Over sizes and priors the bound with the DCT is above that with a smaller image in at least
    two thirds of the pairs. In more than half: direction only.
    """
    pairs = [job.removeprefix("dct ") for job in results if job.startswith("dct ")]
    if not pairs:
        raise Missing("dct")
    wins = sum(
        mean(results, f"dct {p}", "elbo") > mean(results, f"downsample {p}", "elbo") for p in pairs
    )
    return graded(
        3 * wins >= 2 * len(pairs), 2 * wins > len(pairs), f"{wins} of {len(pairs)} pairs"
    )


def learned_is_unstable(results: Results) -> Verdict:
    """Learned is unstable.

    The squared error of the learned pseudo-input's picture, scaled to fit best, is above that
    of the DCT's in all seeds, and at least twice as large in 3 of 4. The first: direction only.
    """
    learned, dct = (values(results, job, "picture_error") for job in ("linear", "dct"))
    worst = max(dct)
    reason = f"{', '.join(f'{e:.3f}' for e in learned)} against at most {worst:.3f}"
    twice = sum(e >= 2 * worst for e in learned) >= 0.75 * len(learned)
    return graded(
        all(e > worst for e in learned) and twice, all(e > worst for e in learned), reason
    )


def vamp_grows(results: Results) -> Verdict:
    """Vamp grows.

    Time and memory of the VampPrior's step with K = 1000 are each at least 1.5 times those with
    K = 250, and the diffusion's are at most those with K = 500. Growth alone: direction only.
    """
    growth = [
        mean(results, "vamp 1000", key) / mean(results, "vamp 250", key)
        for key in ("step_cpu_s", "bytes")
    ]
    small = all(
        mean(results, "dvp", k) <= mean(results, "vamp 500", k) for k in ("step_cpu_s", "bytes")
    )
    reason = f"time x {growth[0]:.2f}, memory x {growth[1]:.2f} from 250 to 1000"
    return graded(min(growth) >= 1.5 and small, min(growth) > 1, reason)


# Notes


def expressive_decoders_collapse(results: Results) -> Verdict:
    """Expressive decoders collapse.

    With a categorical likelihood KL < 1e-3 and the loss is the entropy to 1e-3; the PixelVAE's
    KL is below half of the factorised decoder's, at a better bound. The KL alone: direction only.
    """
    toy_kl, toy_excess = (mean(results, "categorical", k) for k in ("kl", "excess"))
    kl = [mean(results, job, "kl") for job in ("pixelcnn", "factorised")]
    bound = mean(results, "pixelcnn", "elbo") - mean(results, "factorised", "elbo")
    reason = (
        f"toy KL {toy_kl:.1e}, {toy_excess:+.1e} above the entropy; "
        f"KL {kl[0]:.1f} against {kl[1]:.1f} nats, bound {bound:+.1f}"
    )
    half = kl[0] < 0.5 * kl[1]
    full = toy_kl < 1e-3 and abs(toy_excess) < 1e-3 and half and bound > 0
    return graded(full, half or toy_kl < 1e-3, reason)


def amortisation_dominates(results: Results) -> Verdict:
    """Amortisation dominates.

    The amortisation gap exceeds the approximation gap, both are at least -0.1 nats, and IAF's
    bound is at least the Gaussian's less 0.3 nats. The first alone: direction only.
    """
    approximation, amortisation = (
        mean(results, "gaussian", k) for k in ("approximation", "amortisation")
    )
    iaf = mean(results, "iaf", "elbo") - mean(results, "gaussian", "elbo")
    reason = f"{amortisation:.2f} against {approximation:.2f} nats; IAF {iaf:+.2f}"
    first = amortisation > approximation
    sound = min(approximation, amortisation) >= -0.1
    return graded(first and sound and iaf >= -0.3, first, reason)


def lossless_is_the_bound(results: Results) -> Verdict:
    """Lossless is the bound.

    All images come back exactly, and the bytes of the chain are within 1 % of its ELBO. Within
    1 % without the initial bits: direction only.
    """
    exact = all(values(results, "chain", "exact"))
    excess, net = (mean(results, "chain", key) for key in ("excess", "net_excess"))
    reason = (
        f"{mean(results, 'chain', 'images'):.0f} images {'exact' if exact else 'NOT exact'}; "
        f"{excess:+.2%} of the ELBO, {net:+.2%} without the initial bits"
    )
    return graded(exact and excess <= 0.01, exact and net <= 0.01, reason)


def judge(rule: Rule, results: Results) -> Verdict:
    """Apply a rule; a claim of which a job is missing is not tested."""
    try:
        return rule(results)
    except Missing as missing:
        return Verdict(NOT_TESTED, f"not run: {missing.args[0]}")
