"""Rules of verdict: DVP-VAE."""

from __future__ import annotations

from .rules import (
    NOT_TESTED,
    Missing,
    Results,
    Verdict,
    clear,
    difference,
    differences,
    graded,
    living,
    mean,
    shown,
    values,
)


def pseudo_inputs_help(results: Results) -> Verdict:
    """Pseudo inputs help.

    The bound with pseudo-inputs is higher by at least 0.5 nats and more than two standard
    errors over 3 seeds on both sets. Higher on both: direction only. Seeds in which no unit of
    the model without is active do not count; where none is left, the claim is not tested.
    """
    full, sign, parts, dead = [], [], [], False
    for data in ("mnist", "omniglot"):
        without = f"{data} none"
        try:
            alive = {**results, without: living(results, without)}
        except Missing:
            dead = True
            parts.append(f"{data}: the model without is dead")
            continue
        gap, error = difference(alive, f"{data} dvp", without, "elbo")
        full.append(gap >= 0.5 and clear(gap, error))
        sign.append(gap > 0)
        parts.append(f"{data} {shown(gap, error)} over {len(alive[without])} living")
    reason = "; ".join(parts)
    if dead and all(sign):
        return Verdict(NOT_TESTED, reason)
    return graded(all(full), all(sign), reason)


def aggregation_wakes_units(results: Results) -> Verdict:
    """Aggregation wakes units.

    The share of active units is higher with aggregation in every seed of both sets, with a
    ratio of at least 1.5 on MNIST. Without the ratio: direction only.
    """
    sign, parts, ratio = [], [], 0.0
    for data in ("mnist", "omniglot"):
        sums, path = (f"{data} {kind}" for kind in ("aggregate", "path"))
        sign += [gap > 0 for gap in differences(results, sums, path, "active_share")]
        with_, without = (mean(results, job, "active_share") for job in (sums, path))
        ratio = ratio or with_ / max(without, 1e-9)
        parts.append(f"{data} {without:.1%} to {with_:.1%}")
    return graded(all(sign) and ratio >= 1.5, all(sign), "; ".join(parts))


def dct_beats_downsampling(results: Results) -> Verdict:
    """DCT beats downsampling.

    Over sizes and priors the bound with the DCT is above that with a smaller image in all pairs
    but one. In more than half: direction only.
    """
    pairs = [job.removeprefix("dct ") for job in results if job.startswith("dct ")]
    if not pairs:
        raise Missing("dct")
    wins = sum(
        mean(results, f"dct {p}", "elbo") > mean(results, f"downsample {p}", "elbo") for p in pairs
    )
    return graded(wins >= len(pairs) - 1, 2 * wins > len(pairs), f"{wins} of {len(pairs)} pairs")


def learned_is_unstable(results: Results) -> Verdict:
    """Learned is unstable.

    The picture of the learned pseudo-input, scaled to fit best, explains less of the image's
    variance than the DCT's in all seeds, and at most half as much in 3 of 4. The first:
    direction only.
    """
    learned, dct = ([1 - e for e in values(results, job, "picture_error")]
                    for job in ("linear", "dct"))  # fmt: skip
    least = min(dct)
    reason = f"{', '.join(f'{e:.1%}' for e in learned)} explained, against at least {least:.1%}"
    less = all(e < least for e in learned)
    half = sum(e <= least / 2 for e in learned) >= 0.75 * len(learned)
    return graded(less and half, less, reason)


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
