import dataclasses
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tqdm import tqdm

from hvae_codec.codec.errors import WeightsError
from hvae_codec.models.export import load_checkpoints
from hvae_codec.models.training import loop
from hvae_codec.models.training.config import BatchSizes, TrainConfig
from hvae_codec.models.training.loop import learning_rate_at, train
from hvae_codec.models.training.state import LINEAR_PATHS, Run, going_on
from hvae_codec.models.training.stopping import stopping


@pytest.fixture
def config(folder: Path, tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        data=folder,
        valid=folder,
        out=tmp_path / "runs" / "whole",
        preset="tiny",
        steps=4,
        warmup=2,
        cooldown=1,
        sizes=BatchSizes(2, 64, 1, 64),
        workers=0,
        valid_images=1,
        valid_qualities=(50,),
    )


def checkpoint(config: TrainConfig) -> dict[str, Any]:
    return torch.load(config.out / "checkpoint.pt", weights_only=True)


def metrics(config: TrainConfig) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (config.out / "metrics.jsonl").read_text().splitlines()]


def test_a_run_writes_a_checkpoint_and_metrics(config: TrainConfig) -> None:
    train(dataclasses.replace(config, simulate=2))
    saved = checkpoint(config)
    assert saved["step"] == 4
    assert all(torch.isfinite(values).all() for values in saved["model"].values())
    (line,) = metrics(config)
    assert line["step"] == 4
    assert line["rows"][0]["quality"] == 50
    assert 0 < line["rows"][0]["bpp"] < 24
    assert line["rows"][0]["psnr"] > 15


@pytest.mark.slow
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(config: TrainConfig) -> None:
    train(config)
    parts = dataclasses.replace(config, out=config.out.with_name("parts"))
    train(dataclasses.replace(parts, steps=2))
    train(dataclasses.replace(parts, resume=True))
    whole, resumed = checkpoint(config), checkpoint(parts)
    assert resumed["step"] == 4
    assert [line["step"] for line in metrics(parts)] == [2, 4]
    for part in ("model", "average"):
        for name, values in whole[part].items():
            assert torch.equal(values, resumed[part][name]), name


def test_a_run_stops_when_time_is_up(config: TrainConfig) -> None:
    train(dataclasses.replace(config, minutes=0.0))
    assert checkpoint(config)["step"] == 1
    assert len(metrics(config)) == 1


@pytest.mark.slow
def test_a_new_run_starts_from_an_old_ones_average(config: TrainConfig) -> None:
    train(config)
    start = config.out / "checkpoint.pt"
    new = dataclasses.replace(
        config, out=config.out.with_name("new"), start=start, learning_rate=0.0, preset="base"
    )
    train(new)
    old, saved = checkpoint(config), checkpoint(new)
    assert saved["step"] == 4
    assert saved["config"] == old["config"]
    for name, values in saved["model"].items():
        torch.testing.assert_close(values, old["average"][f"module.{name}"])


def test_a_run_for_some_qualities_says_so(config: TrainConfig) -> None:
    train(dataclasses.replace(config, qualities=(20, 60), valid_qualities=(10, 30, 60, 70)))
    assert tuple(checkpoint(config)["qualities"]) == (20, 60)
    assert [row["quality"] for row in metrics(config)[-1]["rows"]] == [30, 60]


@pytest.mark.slow
def test_a_range_without_a_validated_quality_is_validated_in_its_middle(
    config: TrainConfig,
) -> None:
    train(dataclasses.replace(config, qualities=(60, 70)))
    assert [row["quality"] for row in metrics(config)[-1]["rows"]] == [65]


def weights_after(config: TrainConfig, name: str, **changes: object) -> dict[str, torch.Tensor]:
    changes["out"] = config.out.with_name(name)
    config = dataclasses.replace(config, **changes)  # pyright: ignore[reportArgumentType]
    train(config)
    return checkpoint(config)["model"]


@pytest.mark.slow
def test_settings_of_a_run_do_what_they_say(config: TrainConfig) -> None:
    def differ(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> set[str]:
        return {name for name in one if not torch.equal(one[name], other[name])}

    config = dataclasses.replace(config, steps=3)
    usual, start = weights_after(config, "usual"), weights_after(config, "start", learning_rate=0.0)
    still = weights_after(config, "still", linear_rate=0.0)
    moved = differ(usual, start)
    assert set(LINEAR_PATHS) < moved
    assert differ(still, start) == moved - set(LINEAR_PATHS)
    assert not differ(weights_after(config, "clipped", clip=0.0), start)
    assert differ(weights_after(config, "real", simulate=0), usual)


def forget_settings(config: TrainConfig) -> None:
    """Make a checkpoint what it was before it held settings."""
    saved = checkpoint(config)
    del saved["settings"]
    torch.save(saved, config.out / "checkpoint.pt")


@pytest.mark.slow
def test_a_resumed_run_keeps_its_settings(config: TrainConfig) -> None:
    train(dataclasses.replace(config, steps=1, qualities=(0, 40), learning_rate=1e-4))
    asked = dataclasses.replace(config, resume=True, sizes=BatchSizes(), learning_rate=2e-4)
    found = going_on(asked, {"steps", "learning_rate"})
    assert (found.steps, found.learning_rate) == (4, 2e-4)
    assert (found.qualities, found.sizes, found.cooldown) == ((0, 40), config.sizes, 1)
    for one, message in (
        (found, r"of a run with --rate 0\.0001, not 0\.0002$"),
        (asked, r"qualities \(0, 40\), not \(0, 100\), --rate .* --crops 2, not 8"),
    ):
        with pytest.raises(WeightsError, match=message):
            train(one)
    train(going_on(asked, {"steps"}))
    assert tuple(checkpoint(config)["qualities"]) == (0, 40)
    assert checkpoint(config)["step"] == 4


@pytest.mark.slow
def test_a_checkpoint_without_settings_has_qualities(config: TrainConfig) -> None:
    train(dataclasses.replace(config, steps=1, qualities=(0, 40)))
    forget_settings(config)
    resumed = dataclasses.replace(config, resume=True)
    with pytest.raises(WeightsError, match=r"qualities \(0, 40\), not \(0, 100\)$"):
        train(resumed)
    assert going_on(resumed, set()).qualities == (0, 40)
    train(going_on(resumed, set()))
    assert tuple(checkpoint(config)["qualities"]) == (0, 40)


def test_a_run_that_has_ended_says_so(
    config: TrainConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    config = dataclasses.replace(config, steps=1)
    train(config)
    before = metrics(config)
    capsys.readouterr()
    train(dataclasses.replace(config, resume=True))
    assert "the run is at step 1 of 1: give more --steps" in capsys.readouterr().out
    assert metrics(config) == before


def test_the_bar_ends_where_the_run_does(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[tqdm] = []

    class Kept(tqdm):
        def __init__(self, *given: Any, **named: Any):  # noqa: ANN401
            super().__init__(*given, **named)
            bars.append(self)

    monkeypatch.setattr(loop, "tqdm", Kept)
    train(dataclasses.replace(config, steps=3))
    (bar,) = bars
    assert (bar.n, bar.total) == (3, 3)


@pytest.mark.slow
def test_a_resumed_run_has_the_shares_of_its_own_settings(config: TrainConfig) -> None:
    train(dataclasses.replace(config, steps=1))
    before = checkpoint(config)["model"]
    forget_settings(config)
    train(dataclasses.replace(config, resume=True, linear_rate=0.0))
    after = checkpoint(config)["model"]
    assert all(torch.equal(before[name], after[name]) for name in LINEAR_PATHS)


def test_training_leaves_signals_as_they_were(config: TrainConfig) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        train(dataclasses.replace(config, steps=1))
        assert signal.getsignal(signal.SIGTERM) is before
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_unknown_preset_is_named(config: TrainConfig) -> None:
    with pytest.raises(WeightsError, match="preset huge is not one of base, open, tiny"):
        train(dataclasses.replace(config, preset="huge"))


def test_the_rate_warms_up_stays_and_cools_down() -> None:
    config = TrainConfig(Path(), Path(), Path(), steps=1000, warmup=10, cooldown=200)
    rates = [learning_rate_at(step, 0.0, config) for step in range(1001)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[:10] == sorted(rates[:10])
    assert set(rates[10:801]) == {1.0}
    assert rates[800:] == sorted(rates[800:], reverse=True)
    assert rates[900] == pytest.approx(0.51)
    assert rates[1000] == pytest.approx(0.02)


def test_by_the_clock_the_rate_falls_all_the_time() -> None:
    config = TrainConfig(Path(), Path(), Path(), steps=10**6, warmup=10, by_clock=True)
    rates = [learning_rate_at(100, spent / 100, config) for spent in range(101)]
    assert rates[0] == pytest.approx(1)
    assert rates == sorted(set(rates), reverse=True)
    assert rates[50] == pytest.approx(0.51)
    assert rates[100] == pytest.approx(0.02)


@pytest.mark.slow
def test_light_weights_are_what_export_and_another_run_read(config: TrainConfig) -> None:
    light = config.out.parent / "light.pt"
    train(dataclasses.replace(config, steps=1, simulate=0, light=light))
    full = (config.out / "checkpoint.pt").stat().st_size
    assert light.stat().st_size < full / 4
    (model,), firsts = load_checkpoints([light])
    assert firsts == (0,)
    for name, values in checkpoint(config)["average"].items():
        if name.startswith("module."):
            own = model.state_dict()[name.removeprefix("module.")]
            torch.testing.assert_close(own, values, rtol=2**-10, atol=1e-7)
    again = dataclasses.replace(config, out=config.out.with_name("again"), start=light, steps=1)
    train(again)


@pytest.mark.slow
def test_compiled_blocks_learn_the_same(config: TrainConfig) -> None:
    usual = weights_after(config, "usual", steps=1)
    compiled = weights_after(config, "compiled", steps=1, compile=True)
    for name, values in usual.items():
        torch.testing.assert_close(compiled[name], values, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_saves(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    step = loop._step

    def stop_at_the_second(run: Run, *given: Any) -> torch.Tensor:  # noqa: ANN401
        if run.step == 1:
            signal.raise_signal(number)
        return step(run, *given)

    monkeypatch.setattr(loop, "_step", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    assert checkpoint(config)["step"] == 2
    assert [line["step"] for line in metrics(config)] == [2]


@pytest.mark.usefixtures("heeded_signals")
def test_a_second_ctrl_c_ends_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stopping() as stopped:
        signal.raise_signal(signal.SIGINT)
        assert stopped.is_set()
        signal.raise_signal(signal.SIGINT)
        pytest.fail("went on")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_resumed_run_keeps_its_images(config: TrainConfig) -> None:
    train(dataclasses.replace(config, steps=1))
    moved = config.data.rename(config.data.with_name("moved"))
    again = dataclasses.replace(config, data=moved, valid=moved, resume=True, steps=2)
    train(again)
    assert checkpoint(config)["step"] == 2
    fewer = moved.with_name("fewer")
    shutil.copytree(moved, fewer)
    (fewer / "a.png").unlink()
    again = dataclasses.replace(again, steps=3)
    with pytest.raises(WeightsError, match="of a run with other images in --data: a new run can"):
        train(dataclasses.replace(again, data=fewer))
    with pytest.raises(WeightsError, match="in --data and --valid"):
        train(dataclasses.replace(again, data=fewer, valid=fewer))
    saved = checkpoint(config)
    del saved["images"]  # as before there were any
    torch.save(saved, config.out / "checkpoint.pt")
    train(dataclasses.replace(again, data=fewer))
    assert checkpoint(config)["step"] == 3
