"""The example of docs/batch.md: the same function in a pipeline of Ray Data."""

import subprocess
import sys
from pathlib import Path

import pytest

import hvae_codec

from .conftest import pq

pytest.importorskip("ray")
pytest.importorskip("pandas")
ROOT = Path(__file__).parents[4]


@pytest.mark.slow
def test_ray_datas_own_sources_and_sinks(photos: Path, tmp_path: Path, shipped: Path) -> None:
    text = (ROOT / "docs/batch.md").read_text("utf-8")
    (example,) = [
        block.removeprefix("python\n") for block in text.split("```") if "ray.data" in block
    ]
    example = example.replace("s3://in/", str(photos)).replace("s3://out/", str(tmp_path / "out"))
    subprocess.run([sys.executable, "-c", example], check=True, timeout=600)
    rows = [row for path in (tmp_path / "out").glob("*") for row in pq.read_table(path).to_pylist()]
    good = [row for row in rows if row["status"] == "success"]
    assert len(good) == 12
    assert hvae_codec.decode(good[0]["hvae"]).size == (24, 16)
    assert {row["error"] for row in rows if row["status"] != "success"} == {
        "not an image in a format that Pillow knows"
    }
