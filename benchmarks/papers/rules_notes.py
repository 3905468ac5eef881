"""Rules of verdict: the notes, and the lossless mode."""

from __future__ import annotations

from .rules import Missing, Results, Verdict, clear, graded, mean, shown, standard_error, values


def expressive_decoders_collapse(results: Results) -> Verdict:
    """Expressive decoders collapse.

    With a categorical likelihood KL < 1e-3 and the loss is the entropy to 1e-3; the PixelVAE's
    KL is below half of the factorised decoder's, at a better bound. Either KL alone: direction
    only.
    """
    toy_kl, toy_excess = (mean(results, "categorical", k) for k in ("kl", "excess_nats"))
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

    The amortisation gap exceeds the approximation gap by more than two standard errors, both are
    at least -0.1 nats, and IAF's bound is at least the Gaussian's less 0.3 nats. The sign of the
    first alone: direction only.
    """
    approximation, amortisation = (
        mean(results, "gaussian", k) for k in ("approximation", "amortisation")
    )
    iaf = mean(results, "iaf", "elbo") - mean(results, "gaussian", "elbo")
    reason = f"{amortisation:.2f} against {approximation:.2f} nats; IAF {iaf:+.2f}"
    excess = [run["amortisation"] - run["approximation"] for run in results["gaussian"]]
    middle, error = sum(excess) / len(excess), standard_error(excess)
    reason += f", the first more by {shown(middle, error)}"
    sound = min(approximation, amortisation) >= -0.1
    full = clear(middle, error) and sound and iaf >= -0.3
    return graded(full, middle > 0, reason)


def lossless_is_the_bound(results: Results) -> Verdict:
    """Lossless is the bound.

    All images of every chain come back exactly, and its bytes are within 1 % of its ELBO. Within
    1 % without the initial bits: direction only.
    """
    chains = [job for job in results if results[job]]
    if not chains:
        raise Missing("a chain")
    exact = all(all(values(results, job, "exact")) for job in chains)
    excess = [mean(results, job, "excess") for job in chains]
    net = [mean(results, job, "net_excess") for job in chains]
    parts = [
        f"{job} {all_:+.2%} ({net_:+.2%} without the initial bits)"
        for job, all_, net_ in zip(chains, excess, net, strict=True)
    ]
    reason = f"{'exact' if exact else 'NOT exact'}; of the ELBO: {', '.join(parts)}"
    near, net_near = (max(map(abs, each)) <= 0.01 for each in (excess, net))
    return graded(exact and near, exact and net_near, reason)
