import pytest

from hvae_codec.benchmarks.studies import training


def test_each_kind_of_step_gets_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--preset", "tiny", "--crops", "1", "--crop-px", "64", "--rounds", "1"]
    training.main(["--kinds", "float32", "bfloat16", *small])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["float32", "bfloat16"]
    for line in lines:
        shares = [float(part) for part in line.replace("%", "").split() if part.isdigit()]
        assert len(shares) == 3 and sum(shares) == pytest.approx(100, abs=2)
        assert float(line.split()[1]) > 0
