"""Rules of verdict: DCT-VAE."""

from __future__ import annotations

from statistics import fmean

from .rules import Results, Verdict, clear, difference, graded, mean, shown


def depth_kills_units(results: Results) -> Verdict:
    """Depth kills units.

    AU(L 10) < AU(L 4); at L 8 at least 40 % of the units below 0.01 nats; the bounds of all L
    within 2 nats, as the paper's are. Without the last two: direction only.
    """
    first, last = (mean(results, job, "active_share") for job in ("L 4", "L 10"))
    dead = mean(results, "L 8", "dead_share")
    elbos = [mean(results, f"L {depth}", "elbo") for depth in (4, 6, 8, 10)]
    flat = max(elbos) - min(elbos) <= 2
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
    reason = f"DCT 6 - none {shown(gap, error)}; DCT 9 - downsampled 9 {large:+.2f}"
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
    counted, on all three sets. On two: direction only.
    """
    parts, wins = [], 0
    for data in ("mnist", "omniglot", "cifar10"):
        with_, without = (mean(results, f"{data} {k}", "active_share") for k in ("dct", "none"))
        wins += with_ > without
        parts.append(f"{data} {without:.1%} to {with_:.1%}")
    return graded(wins == 3, wins == 2, "; ".join(parts))


def context_alone_is_like(results: Results) -> Verdict:
    """Context alone is like.

    BPD with the context at most 0.05 above that without; MS-SSIM of the context alone at least
    0.6, and at least 0.3 above the first layer of the model without. Only the last: direction only.
    """
    gap = mean(results, "dct", "bpd") - mean(results, "none", "bpd")
    alone, first = (fmean(run["ms_ssim"][0] for run in results[job]) for job in ("dct", "none"))
    reason = f"BPD {gap:+.3f} by the context; MS-SSIM {alone:.2f} against {first:.2f}"
    ahead = alone - first >= 0.3
    return graded(gap <= 0.05 and alone >= 0.6 and ahead, ahead, reason)


def context_beats_jpeg(results: Results) -> Verdict:
    """Context beats JPEG.

    The context's bits a pixel are below those of JPEG's files at equal PSNR on at least 5 of 6
    images. On more than half: direction only. An image that no JPEG shows as badly is no win.
    """
    wins, compared, images, bpp, psnr = (
        mean(results, "kodak", key)
        for key in ("wins", "compared", "images", "context_bpp", "context_psnr_db")
    )
    against = f" against {mean(results, 'kodak', 'jpeg_bpp'):.3f}" if compared else ""
    reason = f"{wins:.0f} of {images:.0f} images; {bpp:.3f}{against} bpp at {psnr:.1f} dB"
    if compared < images:
        reason += f"; on {images - compared:.0f} the worst JPEG is better"
    if results.get("vdvae"):
        bpp, psnr = (mean(results, "vdvae", key) for key in ("context_bpp", "context_psnr_db"))
        reason += f"; VDVAE's top layers {bpp:.3f} bpp at {psnr:.1f} dB, not judged"
    return graded(wins >= images * 5 / 6, wins > images / 2, reason)
