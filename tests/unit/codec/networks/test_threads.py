"""One loaded model serves several threads at once."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from hvae_codec.bitstream import ArgumentError
from hvae_codec.codec import api
from hvae_codec.codec.networks import threads
from hvae_codec.codec.networks.threads import THREADS_VARIABLE, thread_count
from hvae_codec.codec.networks.weights import load_codec

pytestmark = pytest.mark.usefixtures("shipped")


def test_threads_get_what_one_after_the_other_would(photograph: np.ndarray) -> None:
    images = [photograph[k : k + 50, 2 * k : 2 * k + 40 + k] for k in range(0, 75, 15)]
    images[3] = images[3][..., 0]
    one_by_one = [api.encode(image, 40 + k) for k, image in enumerate(images)]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(lambda k: api.encode(images[k], 40 + k), range(len(images))))
        assert at_once == one_by_one
        pixels = list(pool.map(lambda data: np.asarray(api.decode(data)), at_once))
    for data, decoded in zip(one_by_one, pixels, strict=True):
        assert np.array_equal(np.asarray(api.decode(data)), decoded)


def test_threads_load_weights_once() -> None:
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: load_codec(), range(8)))) == 1


def test_other_sessions_of_onnx_runtime_are_left_alone() -> None:
    codec = load_codec()  # has made a session
    ort.InferenceSession(codec.file.graphs["convolution"])


def test_verifying_beside_others_changes_nothing(photograph: np.ndarray) -> None:
    image = photograph[100:170, 200:290]
    data = api.encode(image)
    with ThreadPoolExecutor(4) as pool:
        reports = pool.map(lambda _: api.verify(data), range(2))
        encoded = pool.map(lambda _: api.encode(image), range(2))
        assert all(report.differing == 0 for report in reports)
        assert all(other == data for other in encoded)


@pytest.mark.parametrize(("processors", "usual"), [(1, 1), (16, 16), (64, 16)])
def test_many_processors_do_not_make_thousands_of_threads(
    monkeypatch: pytest.MonkeyPatch, processors: int, usual: int
) -> None:
    monkeypatch.delenv(THREADS_VARIABLE)
    monkeypatch.setattr(threads, "processors", lambda: processors)
    assert thread_count() == usual
    monkeypatch.setenv(THREADS_VARIABLE, "64")
    assert thread_count() == 64


@pytest.mark.parametrize("named", ["0", "abc", "-1", "1.5", "²", "3000000000"])
def test_a_number_of_threads_that_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv(THREADS_VARIABLE, named)
    with pytest.raises(ArgumentError, match=r"not a number in 1\.\.\.1024"):
        thread_count()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no control groups")
@pytest.mark.parametrize(
    ("files", "most"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 64),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        ({}, 64),
    ],
)
def test_a_container_s_share_of_the_processors_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], most: int
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "ascii")
    monkeypatch.setattr(threads, "CONTROL_GROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert threads.processors() == most
