from typing import Any

import pytest

from hvae_codec.benchmarks.papers import rules, rules_dct, rules_dvp, rules_notes, rules_ou
from hvae_codec.benchmarks.papers.jobs import Chosen, Table
from hvae_codec.benchmarks.papers.report import rule_text
from hvae_codec.benchmarks.papers.rules import (
    DIRECTION,
    NOT_REPRODUCED,
    NOT_TESTED,
    REPRODUCED,
    judge,
)
from hvae_codec.benchmarks.papers.scales import SMALL
from hvae_codec.benchmarks.papers.tables import TABLES


class Anything(dict[str, Any]):
    """A result that has every number."""

    def __missing__(self, key: str) -> object:
        return [0.5, 0.7] if key == "ms_ssim" else 1.0

    def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
        return self[key]


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_every_rule_finds_the_jobs_of_its_table(table: Table) -> None:
    jobs = table.jobs(SMALL, Chosen())
    assert len({job.name for job in jobs}) == len(jobs)
    results = {job.name: [Anything(seed=s) for s in range(job.seeds)] for job in jobs}
    verdict = judge(table.rule, results)
    assert (verdict.outcome == NOT_TESTED) == (table.rule is rules.measured_only)
    assert judge(table.rule, {}).outcome == NOT_TESTED
    assert len(rule_text(table)) > 30


def runs(key: str, *values: float) -> list[dict[str, float]]:
    return [{key: value, "seed": seed} for seed, value in enumerate(values)]


def test_one_seed_is_never_clear() -> None:
    assert not rules.clear(5.0, rules.standard_error([5.0]))
    assert rules.clear(1.0, rules.standard_error([0.9, 1.0, 1.1]))
    assert not rules.clear(0.1, rules.standard_error([-0.5, 0.1, 0.7]))


def test_differences_are_paired_by_seed() -> None:
    results = {"a": runs("elbo", 1, 11, 21), "b": runs("elbo", 0, 10, 20)}
    assert rules.difference(results, "a", "b", "elbo") == (1, 0)
    missing = {"a": results["a"][::2], "b": results["b"][1:]}
    assert rules.difference(missing, "a", "b", "elbo")[0] == 1
    with pytest.raises(rules.Missing):
        rules.difference({"a": results["a"][:1], "b": results["b"][1:]}, "a", "b", "elbo")


@pytest.mark.parametrize(
    ("dvp", "outcome"),
    [
        ((-99.0, -99.1, -98.9), REPRODUCED),
        ((-99.9, -99.8, -99.7), DIRECTION),  # by less than 0.5 nats
        ((-97.0, -100.5, -99.5), DIRECTION),  # not clear
        ((-101.0, -101.0, -101.0), NOT_REPRODUCED),
    ],
)
def test_pseudo_inputs(dvp: tuple[float, ...], outcome: str) -> None:
    none = [run | {"active_share": 0.5} for run in runs("elbo", -100.0, -100.0, -100.0)]
    results: dict[str, Any] = {}
    for data in ("mnist", "omniglot"):
        results |= {f"{data} none": none, f"{data} dvp": runs("elbo", *dvp)}
    assert judge(rules_dvp.pseudo_inputs_help, results).outcome == outcome


def test_a_dead_model_without_pseudo_inputs_is_no_baseline() -> None:
    without = runs("elbo", -100.0, -200.0, -200.0)
    for run, share in zip(without, (0.5, 0.0, 0.0), strict=True):
        run["active_share"] = share
    results = {
        "mnist none": without,
        "mnist dvp": runs("elbo", -99.0, -99.0, -99.0),
        "omniglot none": without[1:],
        "omniglot dvp": runs("elbo", -99.0, -99.0, -99.0),
    }
    verdict = judge(rules_dvp.pseudo_inputs_help, results)
    assert verdict.outcome == NOT_TESTED
    assert verdict.reason == "mnist +1.00 over 1 living; omniglot: the model without is dead"
    worse = results | {"mnist dvp": runs("elbo", -101.0)}
    assert judge(rules_dvp.pseudo_inputs_help, worse).outcome == NOT_REPRODUCED


@pytest.mark.parametrize(
    ("path", "sums", "outcome"),
    [
        ((0.4, 0.4), (0.9, 0.9), REPRODUCED),
        ((0.7, 0.7), (0.9, 0.9), DIRECTION),
        ((0.7, 0.7), (0.9, 0.6), NOT_REPRODUCED),  # every seed has to agree
    ],
)
def test_aggregation(path: tuple, sums: tuple, outcome: str) -> None:
    results = {}
    for data in ("mnist", "omniglot"):
        results[f"{data} path"] = runs("active_share", *path)
        results[f"{data} aggregate"] = runs("active_share", *sums)
    assert judge(rules_dvp.aggregation_wakes_units, results).outcome == outcome


def test_aggregation_is_paired_by_seed() -> None:
    """Seed 1 of the path is missing: its neighbours must not move up."""
    results = {}
    for data in ("mnist", "omniglot"):
        sums = runs("active_share", 0.9, 0.2, 0.9)
        results[f"{data} aggregate"] = sums
        results[f"{data} path"] = runs("active_share", 0.4, 0.0, 0.3)[::2]
    assert judge(rules_dvp.aggregation_wakes_units, results).outcome == REPRODUCED


def smoothed(
    two: float, four: float, active: float = 0.5, spread: float = 0.0
) -> dict[str, list[dict[str, float]]]:
    """Three seeds of each model; of the smoothed one they differ by `spread`."""
    ends = [-86.5 - spread, -86.5, -86.5 + spread]
    return {
        "VAE L 2": [run | {"active_share": active} for run in runs("iwae", two, two, two)],
        "VAE L 4": runs("iwae", four, four, four),
        "OU L 4 0.9": [run | {"valid_elbo": -91.0} for run in runs("iwae", *ends)],
    }


def test_four_smoothed_layers_are_judged_and_five_only_named() -> None:
    results = smoothed(-86.0, -90.0)
    results["OU L 5 0.9"] = [{"iwae": -83.0, "valid_elbo": -90.0, "seed": 0}]
    verdict = judge(rules_ou.smoothing_is_better, results)
    assert verdict.outcome == NOT_REPRODUCED
    assert verdict.reason == (
        "-0.50 (0.00) nats over the VAE of two layers; +3.50 (0.00) over that of four; "
        "with five layers +3.00 over that of two, not judged"
    )


def test_a_gap_of_one_seed_has_no_error() -> None:
    one = {job: runs[:1] for job, runs in smoothed(-90.0, -88.0).items()}
    reason = judge(rules_ou.smoothing_is_better, one).reason
    assert reason.startswith("+3.50 nats over the VAE of two layers; +1.50 over that of four")


@pytest.mark.parametrize(
    ("results", "outcome"),
    [
        (smoothed(-90.0, -88.0), REPRODUCED),
        (smoothed(-90.0, -87.0), DIRECTION),
        (smoothed(-90.0, -86.0), NOT_REPRODUCED),
        (smoothed(-120.0, -88.0, active=0.0), DIRECTION),
        (smoothed(-90.0, -88.0, spread=4.0), DIRECTION),  # not clear
    ],
)
def test_smoothing_has_to_beat_as_many_plain_layers_and_two_that_live(
    results: dict[str, Any], outcome: str
) -> None:
    assert judge(rules_ou.smoothing_is_better, results).outcome == outcome


def test_smoothing_rescues_layers_that_hold_something() -> None:
    def collapse(smooth: float) -> dict[str, Any]:
        vae = {"top_kl": 5.3e-4, "top_active_share": 0.0, "iwae": -100.0}
        other = vae | {"top_kl": smooth, "iwae": -99.0, "valid_elbo": -99.0}
        shapes = ("4x40", "64-32-16-8")
        return {f"{s} VAE": [vae] for s in shapes} | {f"{s} OU 0.9": [other] for s in shapes}

    assert judge(rules_ou.smoothing_rescues, collapse(5.5e-4)).outcome == NOT_REPRODUCED
    assert judge(rules_ou.smoothing_rescues, collapse(0.2)).outcome == DIRECTION


@pytest.mark.parametrize(
    ("learned", "outcome"),
    [
        ((0.99, 0.98, 0.97, 0.54), REPRODUCED),
        ((0.99, 0.6, 0.6, 0.6), DIRECTION),
        ((0.99, 0.98, 0.97, 0.5), NOT_REPRODUCED),
    ],
)
def test_a_learned_pseudo_input_explains_less(learned: tuple[float, ...], outcome: str) -> None:
    results = {"linear": runs("picture_error", *learned), "dct": runs("picture_error", 0.53)}
    assert judge(rules_dvp.learned_is_unstable, results).outcome == outcome


def test_a_likelihood_that_gains_much_is_not_one_that_hardly_gains() -> None:
    def depths(*bounds: float) -> dict[str, Any]:
        shares = (0.6, 0.55, 0.5, 0.5)
        return {
            f"L {depth}": [{"elbo": bound, "active_share": share, "dead_share": 0.5}]
            for depth, bound, share in zip((4, 6, 8, 10), bounds, shares, strict=True)
        }

    paper = depths(-79.6, -78.8, -78.3, -77.9)
    assert judge(rules_dct.depth_kills_units, paper).outcome == REPRODUCED
    large = depths(-107.1, -103.6, -100.1, -98.9)
    assert judge(rules_dct.depth_kills_units, large).outcome == DIRECTION


@pytest.mark.parametrize(
    ("excess", "outcome"),
    [
        ((0.9, 1.0, 1.1), REPRODUCED),
        ((-0.06, 0.11, 0.37), DIRECTION),
        ((-0.9, -1.0, 0.1), NOT_REPRODUCED),
    ],
)
def test_the_amortisation_gap_is_clearly_larger(excess: tuple[float, ...], outcome: str) -> None:
    gaussian = [{"approximation": 1.0, "amortisation": 1.0 + e, "elbo": -90.0} for e in excess]
    results = {"gaussian": gaussian, "iaf": [{"elbo": -89.0}]}
    assert judge(rules_notes.amortisation_dominates, results).outcome == outcome


def test_a_run_that_diverged_is_not_chosen() -> None:
    for order in (("a", "b"), ("b", "a")):
        found = {"a": [{"valid_elbo": float("nan")}], "b": [{"valid_elbo": -90.0}]}
        assert rules_ou.best_smoothed({name: found[name] for name in order}, "") == "b"


def phase(mnist: list[float], omniglot: list[float]) -> dict[str, list[dict[str, float]]]:
    rhos = (0.7, 0.8, 0.9, 1.0)
    return {
        f"{data} rho {rho:g}": runs("top_kl", kl)
        for data, values in (("mnist", mnist), ("omniglot", omniglot))
        for rho, kl in zip(rhos, values, strict=True)
    }


def test_a_phase_transition_is_sharp_and_at_one_place() -> None:
    sharp, slow, late = [8, 7, 0.1, 0.05], [8, 4, 2, 1], [9, 9, 8, 0.01]
    assert judge(rules_ou.phase_transition, phase(sharp, sharp)).outcome == REPRODUCED
    assert judge(rules_ou.phase_transition, phase(sharp, late)).outcome == REPRODUCED
    assert judge(rules_ou.phase_transition, phase(sharp, slow)).outcome == DIRECTION  # type: ignore
    assert judge(rules_ou.phase_transition, phase(slow, slow)).outcome == NOT_REPRODUCED  # type: ignore
    early = [8, 0.1, 0.1, 0.1]
    assert judge(rules_ou.phase_transition, phase(early, late)).outcome == DIRECTION


def test_wide_layers_have_to_fall_more_sharply() -> None:
    def shapes(wide: list[float], narrow: list[float]) -> dict[str, Any]:
        kinds = {"wide": wide, "narrow": narrow, "convolutional": [9.0, 0.1]}
        return {
            f"{kind} rho {rho:g}": runs("top_kl", kl)
            for kind, found in kinds.items()
            for rho, kl in zip((0.9, 1.0), found, strict=True)
        }

    assert judge(rules_ou.shapes_fall, shapes([50.0, 0.1], [5.0, 0.1])).outcome == REPRODUCED
    assert judge(rules_ou.shapes_fall, shapes([5.0, 0.1], [50.0, 0.1])).outcome == DIRECTION
    assert judge(rules_ou.shapes_fall, shapes([5.0, 4.0], [50.0, 0.1])).outcome == DIRECTION


def test_rho_is_chosen_by_validation_and_not_by_what_is_claimed() -> None:
    results = {
        "4x40 OU 0.8": [{"valid_elbo": -95.0, "top_kl": 9.0}],
        "4x40 OU 0.9": [{"valid_elbo": -90.0, "top_kl": 0.0}],
    }
    assert rules_ou.best_smoothed(results, "4x40 OU") == "4x40 OU 0.9"


def test_lossless() -> None:
    chain = {"exact": True, "excess": 0.008, "net_excess": 0.004, "images": 1000}
    assert judge(rules_notes.lossless_is_the_bound, {"chain": [chain]}).outcome == REPRODUCED
    wide = chain | {"excess": 0.03}
    assert judge(rules_notes.lossless_is_the_bound, {"chain": [wide]}).outcome == DIRECTION
    below = chain | {"excess": -0.2, "net_excess": -0.2}
    assert judge(rules_notes.lossless_is_the_bound, {"chain": [below]}).outcome == NOT_REPRODUCED
    both = {"chain": [chain], "colour": [wide]}
    assert judge(rules_notes.lossless_is_the_bound, both).outcome == DIRECTION
    broken = chain | {"exact": False}
    assert judge(rules_notes.lossless_is_the_bound, {"chain": [broken]}).outcome == NOT_REPRODUCED


def test_a_context_that_wins_on_five_of_six_photographs() -> None:
    kodak = {
        "images": 24,
        "compared": 24,
        "context_bpp": 0.1,
        "jpeg_bpp": 0.2,
        "context_psnr_db": 20.0,
    }
    for wins, outcome in ((20, REPRODUCED), (19, DIRECTION), (12, NOT_REPRODUCED)):
        results = {"kodak": [kodak | {"wins": wins}]}
        assert judge(rules_dct.context_beats_jpeg, results).outcome == outcome
    few = kodak | {"wins": 0, "compared": 0, "jpeg_bpp": None}
    verdict = judge(rules_dct.context_beats_jpeg, {"kodak": [few]})
    assert verdict.outcome == NOT_REPRODUCED
    assert verdict.reason.endswith("0.100 bpp at 20.0 dB; on 24 the worst JPEG is better")
    both = results | {"vdvae": [kodak | {"wins": 24, "context_bpp": 0.01}]}
    verdict = judge(rules_dct.context_beats_jpeg, both)
    assert verdict.outcome == NOT_REPRODUCED
    assert verdict.reason.endswith("VDVAE's top layers 0.010 bpp at 20.0 dB, not judged")


def test_a_context_that_gains_likelihood_costs_none() -> None:
    def results(bpd: float) -> dict[str, list[dict[str, object]]]:
        return {
            "dct": [{"bpd": bpd, "ms_ssim": [0.8], "seed": 0}],
            "none": [{"bpd": 3.0, "ms_ssim": [0.2], "seed": 0}],
        }

    for bpd, outcome in ((2.8, REPRODUCED), (3.04, REPRODUCED), (3.06, DIRECTION)):
        assert judge(rules_dct.context_alone_is_like, results(bpd)).outcome == outcome


def test_claims_say_no_more_than_their_rules() -> None:
    """What a rule does not look at stands among the paper's figures."""
    for name, words in {
        "dct-vae/3": "at every size",
        "dct-vae/6": "VDVAE",
        "ou-vae/2": "Vamp",
        "ou-vae/3": "L 5",
        "dvp-vae/learned": "always",
        "dvp-vae/4": "nearly all",
        "dvp-vae/ablation": "at all sizes",
        "ou-vae/grid": "loses",
        "ou-vae/9": "50 %",
    }.items():
        assert words not in TABLES[name].claim
        assert words in TABLES[name].paper
