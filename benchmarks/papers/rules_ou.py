"""Rules of verdict: OU-VAE."""

from __future__ import annotations

import math
from itertools import pairwise

from .rules import Missing, Results, Verdict, clear, difference, graded, mean, shown


def best_smoothed(results: Results, prefix: str) -> str:
    """Return the smoothed job of the highest validation bound, never chosen by what is claimed."""
    jobs = [job for job in results if job.startswith(prefix) and results[job]]
    if not jobs:
        raise Missing(prefix)

    def bound(job: str) -> float:
        found = mean(results, job, "valid_elbo")
        return found if math.isfinite(found) else -math.inf  # a run that diverged

    return max(jobs, key=bound)


def smoothing_rescues(results: Results) -> Verdict:
    """Smoothing rescues.

    On 4 x 40 and on 64-32-16-8, at the rate and rho that validation picks: top KL of the VAE
    below 0.1 nats and of the smoothed one at least 3; none of the VAE's top units active and at
    least half of the other's; and a better iwae. A top KL of at least 0.1 nats, and more than the
    VAE's, on both: direction only.
    """
    full, sign, parts = [], [], []
    for shape in ("4x40", "64-32-16-8"):
        vae, smooth = f"{shape} VAE", best_smoothed(results, f"{shape} OU")
        top = [mean(results, job, "top_kl") for job in (vae, smooth)]
        share = [mean(results, job, "top_active_share") for job in (vae, smooth)]
        gain = mean(results, smooth, "iwae") - mean(results, vae, "iwae")
        full.append(top[0] < 0.1 and top[1] >= 3 and not share[0] and share[1] >= 0.5 and gain > 0)
        sign.append(top[1] >= 0.1 and top[1] > top[0])
        parts.append(f"{shape}: top KL {top[0]:.2f} to {top[1]:.2f} ({smooth}), L {gain:+.1f} nats")
    return graded(all(full), all(sign), "; ".join(parts))


def phase_transition(results: Results) -> Verdict:
    """Phase transition.

    From a rho to the next larger the top KL falls by a factor of at least 10 on both sets, at
    places at most one step apart. On one set only: direction only.
    """
    falls = {data: _steepest_fall(results, data) for data in ("mnist", "omniglot")}
    sharp = [place for factor, place, _ in falls.values() if factor >= 10]
    full = len(sharp) == len(falls) and abs(sharp[0] - sharp[-1]) <= 1
    return graded(full, bool(sharp), _in_words(falls))


def shapes_fall(results: Results) -> Verdict:
    """Shapes fall.

    From a rho to the next larger the top KL falls by a factor of at least 10 in wide and in
    convolutional layers, and in wide layers by more than in narrow ones of the same set. One of
    the falls: direction only.
    """
    falls = {kind: _steepest_fall(results, kind) for kind in ("wide", "narrow", "convolutional")}
    wide, narrow, conv = (factor for factor, _, _ in falls.values())
    full = wide >= 10 and conv >= 10 and wide > narrow
    return graded(full, wide >= 10 or conv >= 10, _in_words(falls))


def _steepest_fall(results: Results, kind: str) -> tuple[float, int, float]:
    """Return the largest factor by which the top KL falls, the step's number, and its rho."""
    found = sorted(
        (float(job.split()[-1]), mean(results, job, "top_kl"))
        for job in results
        if job.startswith(f"{kind} rho") and results[job]
    )
    if len(found) < 2:
        raise Missing(kind)
    steps = [max(a, 1e-4) / max(b, 1e-4) for (_, a), (_, b) in pairwise(found)]
    steepest = max(range(len(steps)), key=lambda i: steps[i])
    return steps[steepest], steepest, found[steepest][0]


def _in_words(falls: dict[str, tuple[float, int, float]]) -> str:
    return "; ".join(f"{k}: factor {f:.1f} after rho {rho:g}" for k, (f, _, rho) in falls.items())


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

    The smoothed model of four layers has a better iwae than the VAE of two, some unit of which is
    active, and than the VAE of four, by at least 1 nat and two standard errors each. Better by
    less: direction only.
    """
    smooth = best_smoothed(results, "OU L 4")
    gains = [difference(results, smooth, f"VAE L {depth}", "iwae") for depth in (2, 4)]
    is_alive = mean(results, "VAE L 2", "active_share") > 0
    two, four = (shown(gain, error) for gain, error in gains)
    reason = f"{two} nats over the VAE of two layers"
    reason += "" if is_alive else ", which is dead"
    reason += f"; {four} over that of four"
    if any(job.startswith("OU L 5") for job in results):
        five = difference(results, best_smoothed(results, "OU L 5"), "VAE L 2", "iwae")[0]
        reason += f"; with five layers {five:+.2f} over that of two, not judged"
    full = is_alive and all(gain >= 1 and clear(gain, error) for gain, error in gains)
    return graded(full, all(gain > 0 for gain, _ in gains), reason)


def smoothing_is_better_in_resnets(results: Results) -> Verdict:
    """Smoothing is better in resnets.

    On OMNIGLOT the smoothed ResNet has a better bound than the plain one by at least 1 nat, and
    on CIFAR-10 skips and depth both lower BPD. Two of the three signs: direction only.
    """
    gain = mean(results, "omniglot OU", "elbo") - mean(results, "omniglot VAE", "elbo")
    skips = mean(results, "cifar10 L 3", "bpd") - mean(results, "cifar10 L 3 skips", "bpd")
    depth = mean(results, "cifar10 L 3", "bpd") - mean(results, "cifar10 L 6", "bpd")
    reason = f"OMNIGLOT {gain:+.2f} nats; BPD {-skips:+.3f} by skips, {-depth:+.3f} by depth"
    signs = [gain > 0, skips > 0, depth > 0]
    return graded(gain >= 1 and all(signs), sum(signs) >= 2, reason)


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
