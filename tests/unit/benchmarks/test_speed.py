import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from hvae_codec.benchmarks import speed
from hvae_codec.benchmarks.codecs import OURS, Codec


def test_codecs_take_turns_in_processes_of_their_own(
    own: Codec, jpeg: Codec, paths: list[Path]
) -> None:
    few = replace(own, settings=(50,))
    found = speed.measure(paths, [jpeg, few], rounds=2)
    order = [(timing.round, timing.codec, timing.image) for timing in found.timings]
    first = [(0, name, "a.png") for name in ("jpeg", OURS, "jpeg", "jpeg")]
    assert order == first + [(1, name, "b.png") for _, name, _ in first]
    assert all(timing.encode_s > 0 and timing.decode_s > 0 for timing in found.timings)
    assert found.timings[0].megapixels == pytest.approx(40 * 24 / 1e6)
    assert {(run.codec, run.process, run.image) for run in found.runs} == {
        (name, process, "a.png") for name in ("jpeg", OURS) for process in ("encode", "decode")
    }
    assert found.installed_mib and found.installed_mib > 10
    for process in found.processes.values():
        assert process.startup_s > 0
        if sys.platform == "linux":
            assert process.peak_mib and process.peak_mib > 5  # an interpreter alone takes more


def test_a_slow_codec_gets_fewer_rounds(
    own: Codec, jpeg: Codec, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "ENOUGH_S", 0.0)
    assert not speed.measure(paths, [jpeg], rounds=1).timings
    monkeypatch.setattr(speed, "ENOUGH_S", 1e-9)
    found = speed.measure(paths, [jpeg, own], rounds=2)
    assert {timing.round for timing in found.timings} == {0}  # which is whole
    assert len(found.timings) == len(jpeg.settings) + len(own.settings)


def end(image: Image.Image, setting: int) -> bytes:
    os._exit(9)  # as where memory is short


def test_a_process_that_is_killed_is_one_line(own: Codec, paths: list[Path]) -> None:
    with pytest.raises(OSError, match="its process was killed") as caught:
        speed.measure(paths, [replace(own, encode=end)], rounds=1)
    assert caught.value.filename == OURS


def test_no_rounds_start_no_process(own: Codec, paths: list[Path]) -> None:
    assert speed.measure(paths, [own], rounds=0) == speed.Speed((), {})
