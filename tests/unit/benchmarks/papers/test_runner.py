import dataclasses
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hvae_codec.benchmarks.metrics import psnr_rgb
from hvae_codec.benchmarks.papers import (
    cost,
    jobs,
    kodak,
    measures,
    report,
    rules,
    sheets,
    tables,
    toys,
)
from hvae_codec.benchmarks.papers.data import Sets
from hvae_codec.benchmarks.papers.jobs import Chosen, Job, Table, serial
from hvae_codec.benchmarks.papers.runner import Runner
from hvae_codec.benchmarks.papers.scales import SCALES, TINY
from hvae_codec.benchmarks.papers.store import Store
from hvae_codec.models.vae import Hvae, VaeConfig

New = Callable[..., Runner]


def one_table(**training: object) -> Table:
    """A table of one small job."""
    table = tables.TABLES["dvp-vae/samples"]

    def jobs(scale: object, chosen: Chosen) -> list[Job]:
        job = table.jobs(TINY, chosen)[0]
        changed = dataclasses.replace(job.training, **training)  # type: ignore[arg-type]
        return [dataclasses.replace(job, kind="train", training=changed)]

    return dataclasses.replace(table, jobs=jobs)


def test_what_was_measured_is_not_measured_again(runner: New) -> None:
    first, again = runner(), runner()
    table = one_table()
    assert first.run([table]) and again.run([table])
    assert any("seed 0" in line for line in first.told)  # type: ignore[attr-defined]
    assert again.told == []  # type: ignore[attr-defined]
    assert first.results(table) == again.results(table)


def test_other_settings_are_other_runs(runner: New) -> None:
    a, b = one_table(), one_table(rate=0.5)
    both = runner()
    both.run([a, b])
    assert both.results(a) != both.results(b)


def test_a_run_out_of_time_goes_on(runner: New, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline in the middle of training leaves a checkpoint; the next call ends as if none."""
    table = one_table(steps=6)
    whole = runner(store=runner().store.__class__(runner().store.folder / "other"))
    whole.run([table])

    clock = iter([0.0] * 4 + [10.0] * 1000)
    stopped = runner(until=5.0)
    monkeypatch.setattr("hvae_codec.benchmarks.papers.runner.time.monotonic", lambda: next(clock))
    assert not stopped.run([table])
    assert "goes on from its checkpoint" in stopped.told[-1]  # type: ignore[attr-defined]
    monkeypatch.undo()
    assert len(list(stopped.store.folder.glob("runs/*/checkpoint.pt"))) == 1
    resumed = runner()
    assert resumed.run([table])
    (a,), (b,) = (r.results(table)["mnist"] for r in (whole, resumed))
    assert {k: v for k, v in a.items() if k != "minutes"} == {
        k: v for k, v in b.items() if k != "minutes"
    }


def test_no_time_at_all_runs_nothing(runner: New) -> None:
    none = runner(until=0.0)
    assert not none.run([one_table()])
    assert none.told == []  # type: ignore[attr-defined]


def test_more_seeds_are_more_runs(runner: New) -> None:
    two = runner(seeds=2)
    table = one_table()
    two.run([table])
    found = two.results(table)["mnist"]
    assert [run["seed"] for run in found] == [0, 1]
    assert found[0]["elbo"] != found[1]["elbo"]
    assert runner().results(table)["mnist"] == found  # what is there counts
    page = report._section(two, table, two.results(table), rules.Verdict("", ""), ())
    assert "--seeds 2" in page


def test_the_search_has_one_seed(runner: New) -> None:
    two = runner(seeds=2)
    two.run([dataclasses.replace(one_table(), searched=True)])
    search = tables.TABLES[tables.SEARCH]
    assert {len(runs) for runs in runner().results(search).values()} == {1}


def test_the_serial_models_take_what_the_search_chose(runner: New) -> None:
    searching = runner()
    assert searching.chosen() == Chosen()
    searching.run([tables.TABLES["ou-vae/search"]])
    chosen = searching.chosen()
    results = searching.results(tables.TABLES["ou-vae/search"])
    best = max(results, key=lambda job: results[job][0]["valid_elbo"])
    assert best == f"rate {chosen.rate:g} batch {chosen.batch}"
    assert chosen.tries == len(results)


def test_results_say_what_they_are_of(runner: New) -> None:
    work, table = runner(), one_table()
    work.run([table])
    (config,) = work.store.folder.glob("runs/*/config.json")
    described = json.loads(config.read_text())
    assert VaeConfig.from_json(described["model"]).context == "dct"
    assert described["data"] == "mnist"


def test_a_table_is_shown_at_the_scale_where_it_is_run(runner: New, tmp_path: Path) -> None:
    asked, other = (
        runner(scale=dataclasses.replace(TINY, name=name, likelihood_images=images))
        for name, images in (("asked", 2), ("other", 3))
    )
    table, never = one_table(), dataclasses.replace(one_table(rate=0.5), name="never/run")
    other.run([table])
    report.write([asked, other], [table, never], tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text("utf-8")
    assert f"`hvae-codec papers {table.name} --scale other --data DIR`" in page
    assert "`hvae-codec papers never/run --scale asked --data DIR`" in page
    assert page.count("- Scale ") == 2


def test_the_search_changes_no_table_that_does_not_use_it(runner: New) -> None:
    work, table = runner(), tables.TABLES["notes/gaps"]
    before = work.jobs(table)
    work.run([tables.TABLES[tables.SEARCH]])
    assert work.chosen() != Chosen()
    assert work.jobs(table) == before


def test_a_verdict_of_one_seed_says_so(runner: New) -> None:
    for seeds, said in ((1, True), (2, False)):
        table = one_table()
        jobs = [dataclasses.replace(job, seeds=seeds) for job in table.jobs(TINY, Chosen())]
        judged = dataclasses.replace(
            table,
            jobs=lambda *of, jobs=jobs: jobs,
            rule=lambda results: rules.graded(True, True, ""),
        )
        work = runner(scale=dataclasses.replace(TINY, name="one"))
        work.run([judged])
        verdict = report.verdict_of(work, judged, work.results(judged))
        assert verdict.outcome == rules.REPRODUCED
        assert verdict.reason.endswith("one seed, without an error") == said


def test_what_is_published_is_shown_where_a_set_is_missing(runner: New, tmp_path: Path) -> None:
    first, table = runner(), one_table()
    first.run([table])
    page = tmp_path / "page.md"
    published = dataclasses.replace(first.store, published=tmp_path / "page")
    report.publish(dataclasses.replace(first, store=published), [table], page)
    before = page.read_text("utf-8")
    assert "| mnist |" in before
    (tmp_path / "nothing").mkdir()
    elsewhere = Store(tmp_path / "elsewhere", tmp_path / "page")
    other = runner(store=elsewhere, sets=Sets(tmp_path / "nothing"))
    report.publish(other, [table], page)
    assert page.read_text("utf-8") == before


def test_jpeg_is_compared_at_a_psnr_that_it_has() -> None:
    pixels = next(kodak.photographs(None))
    none, *sizes = [kodak.jpeg_bpp_at(pixels, psnr) for psnr in (5.0, 20.0, 20.1, 30.0)]
    assert none is None
    low, near, high = (size or 0.0 for size in sizes)
    assert 0 < low < near < high
    assert near - low < 0.02 * low


def test_lists_of_several_seeds_are_averaged() -> None:
    assert report.shown("active_units", [[40, 3], [20, 0]]) == "30-1.5"
    assert report.shown("active_units", [[40, 3], None]) == "40-3"


def test_memory_is_in_bytes_on_every_system(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> int:
        raise FileNotFoundError

    monkeypatch.setattr(cost, "_status_bytes", gone)
    used = SimpleNamespace(ru_maxrss=4096)
    monkeypatch.setattr(resource, "getrusage", lambda who: used)
    monkeypatch.setattr(sys, "platform", "linux")
    assert cost._peak_bytes() == 4096 * 1024
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cost._peak_bytes() == 4096


def test_active_units_of_a_serial_model_are_over_samples() -> None:
    """What was measured with the noise of one sample has another key, and its training has not."""
    tiny = SCALES["tiny"]
    deep = Job("deep", "mnist", serial(tiny, (4, 4)))
    flat = Job("flat", "mnist", serial(tiny, (4,)))
    assert (deep.draws, flat.draws, Job("ladder", "mnist").draws) == (16, 1, 1)
    sizes = [tiny.test_images, tiny.likelihood_images, tiny.samples, tiny.chain]
    for job, is_old in ((deep, False), (flat, True)):
        old = jobs._digest([job.run_key(""), job.kind, [], sizes])
        assert (job.key("", tiny) == old) is is_old


PAGE = Path(__file__).parents[4] / "docs" / "papers.md"


@pytest.mark.parametrize("part", ["INTRODUCTION", "DEPARTURES", "ERRATA"])
def test_the_page_has_what_the_report_says(part: str) -> None:
    assert getattr(report, part).strip() in PAGE.read_text("utf-8")


def test_the_tables_ask_for_every_published_result(runner: New, tmp_path: Path) -> None:
    """What the page shows counts as measured: no key may change unseen."""
    published = PAGE.with_suffix("")
    work = runner(store=Store(tmp_path, published), sets=Sets(tmp_path), scale=SCALES["small"])
    found = {
        run["key"]
        for at_scale in work.at_other_scales()
        for table in tables.TABLES.values()
        for runs in at_scale.results(table).values()
        for run in runs
    }
    lines = (published / "results.jsonl").read_text("utf-8").splitlines()
    assert found == {json.loads(line)["key"] for line in lines}


def test_a_file_without_its_latents() -> None:
    pixels = next(kodak.photographs(None))
    few, rebuilt = kodak.from_file(pixels, 30)
    many, better = kodak.from_file(pixels, 70)
    assert rebuilt.shape == better.shape == pixels.shape
    assert few < many
    assert 15 < psnr_rgb(pixels, rebuilt) < psnr_rgb(pixels, better)


def test_names_of_tables() -> None:
    assert [t.name for t in tables.named(("dvp-vae/4",))] == ["dvp-vae/4"]
    assert len(tables.named(("all",))) == len(tables.TABLES)
    assert {t.name.split("/")[0] for t in tables.named(("ou-vae",))} == {"ou-vae"}
    with pytest.raises(KeyError, match="vae/1"):
        tables.named(("vae/1",))


@pytest.mark.parametrize("scale", SCALES.values(), ids=lambda scale: scale.name)
def test_every_job_can_be_built(scale: object) -> None:
    """Configurations are valid at every scale, and every kind is known."""
    for table in tables.TABLES.values():
        jobs = list(table.jobs(scale, Chosen()))  # type: ignore[arg-type]
        assert jobs
        for job in jobs:
            assert job.kind in measures.KINDS
            assert VaeConfig.from_json(job.model.to_json()) == job.model


def test_the_papers_sizes() -> None:
    """DVP-VAE has 0.6M parameters without and 0.7M with pseudo-inputs on MNIST (table 5).

    On CIFAR-10 it has 20M (table 1).
    """
    jobs = [
        job
        for name in ("dvp-vae/1", "dvp-vae/cifar10")
        for job in tables.TABLES[name].jobs(SCALES["paper"], Chosen())
    ]
    models = {job.name: job.model for job in jobs}
    counts = {
        name: sum(p.numel() for p in Hvae(models[name]).parameters()) / 1e6
        for name in ("mnist none", "mnist dvp", "cifar10 dvp")
    }
    assert counts["mnist none"] == pytest.approx(0.65, abs=0.08)
    assert counts["mnist dvp"] == pytest.approx(0.7, abs=0.08)
    assert counts["cifar10 dvp"] == pytest.approx(20, abs=0.5)
    omniglot = models["omniglot dvp"]
    assert (omniglot.width, omniglot.hidden) == (80, 40)


def test_a_toy_collapses() -> None:
    found = toys.categorical(values=3, steps=150, seed=0)
    assert found["start_kl"] > 0.1
    assert found["kl"] < 1e-3
    assert found["excess_nats"] == pytest.approx(0, abs=1e-3)


def test_a_picture_of_all_frequencies_is_the_image() -> None:
    x = torch.rand(4, 1, 28, 28)
    model = Hvae(VaeConfig(scales=((7, 1),), width=4, hidden=4, context="dct", context_side=28))
    model.fit(lambda: [x])
    error = sheets.picture_error(model, x)
    assert error is not None and error < 0.1  # the noise alone
    few = Hvae(VaeConfig(scales=((7, 1),), width=4, hidden=4, context="dct", context_side=2))
    few.fit(lambda: [x])
    error = sheets.picture_error(few, x)
    assert error is not None and error > 0.9
