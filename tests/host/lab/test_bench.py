"""The benchmarks: what they report, and how they extrapolate; not how fast anything is."""

import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import microgpt
import pytest
from microgpt.data import NAMES, charset_of, read_docs
from microgpt.engines import native_is_here, scalar
from microgpt.lab import bench_torch, extrapolation, timing
from microgpt.lab.bench import WORK
from ugpt.layout import parameter_table

from tests.support.commands import run

NATIVE = ["native"] if native_is_here() else []


@pytest.fixture(autouse=True)
def no_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "WARM_UP_S", 0)
    monkeypatch.setattr("microgpt.lab.bench.GENERATED", {"tensor": 2, "native": 2})


def test_json(tmp_path: Path) -> None:
    words = ["bench", "--steps", "2", "--repeats", "2", "--no-chat-sized", "--json"]
    result = json.loads(run(*words, cwd=tmp_path).stdout)
    assert result["protocol"]["parameters"] == 4192
    assert result["environment"]["processor"]
    rows = result["engines"]
    assert list(rows) == ["scalar", "tensor", *NATIVE]
    for row in rows.values():
        assert row["steps_per_s"] == pytest.approx(1e6 / row["us_per_step"])
        assert row["tokens_per_s"] > row["steps_per_s"]
    slowest = rows["scalar"]["us_per_step"]
    ratios = {name: slowest / row["us_per_step"] for name, row in rows.items()}
    assert result["speedup"] == pytest.approx(ratios)
    work = result["work"]
    assert list(work) == [name for name in WORK if NATIVE or "threads" not in name]
    for name, figures in work.items():
        assert list(figures) == (["native"] if "threads" in name else ["tensor", *NATIVE])
        assert all(figure > 0 for figure in figures.values())


def test_a_table_for_people(tmp_path: Path) -> None:
    words = ["bench", "--steps", "1", "--repeats", "1", "--no-chat-sized"]
    output = run(*words, cwd=tmp_path).stdout
    assert f", one thread, {date.today()}" in output
    assert "4,192 parameters, a document a step, medians of 1 repeats" in output
    assert re.search(r"minibatches of 16, µs a document +\d", output)
    assert ("engine native was not built here" in output) == (not NATIVE)


def test_the_chat_sized_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = microgpt.ModelConfig(n_embd=8, block_size=24)
    monkeypatch.setattr("microgpt.lab.bench.CHAT_SIZED", small)
    monkeypatch.setattr("microgpt.lab.bench.extrapolated", lambda *_: 100.0)
    words = ["bench", "--steps", "1", "--repeats", "1"]
    result = json.loads(run(*words, "--json", cwd=tmp_path).stdout)["chat_sized"]
    assert result["protocol"]["block_size"] == 24
    assert result["engines"]["scalar"]["us_per_step"] == pytest.approx(100e6)
    assert result["engines"]["scalar"]["extrapolated"]
    assert list(result["engines"]) == ["scalar", "tensor", *NATIVE]
    ratio = 100e6 / result["engines"]["tensor"]["us_per_step"]
    assert result["speedup"]["tensor"] == pytest.approx(ratio)
    assert "scalar (extrapolated)" in run(*words, cwd=tmp_path).stdout


def test_documents() -> None:
    docs = read_docs(NAMES)
    assert timing.spread(docs[:1000], 4) == [docs[0], docs[250], docs[500], docs[750]]
    assert timing.spread(["a", "b"], 5) == ["a", "b"]
    long = timing.long_documents(["ab", "c"], 7, 3)
    assert long == ["ab c ab", " c ab c", " ab c a"]


def test_multiply_adds_are_what_the_matrices_have() -> None:
    config = microgpt.ModelConfig(n_embd=8, n_layer=2)
    sizes = {name: r * c for name, (r, c), _ in parameter_table(config.sizes(27))}
    matrices = sum(sizes.values()) - sizes["wte"] - sizes["wpe"]
    assert extrapolation.multiply_adds(config, 27, 1) == matrices + 2 * 2 * 8
    assert extrapolation.multiply_adds(config, 27, 3) == 3 * matrices + 2 * 2 * 8 * (1 + 2 + 3)


class Values:
    """A clock that counts what engine scalar computes with, so that no machine is too busy."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = 0
        init = scalar.Value.__init__

        def count(value: scalar.Value, *arguments: object) -> None:
            self.made += 1
            init(value, *arguments)

        monkeypatch.setattr(scalar.Value, "__init__", count)
        monkeypatch.setattr(extrapolation, "time", self)

    def perf_counter(self) -> int:
        return self.made


def test_extrapolation_is_near_the_time_of_a_whole_step(monkeypatch: pytest.MonkeyPatch) -> None:
    config = microgpt.ModelConfig(n_embd=8, n_layer=3, block_size=16)
    (text,) = timing.long_documents(read_docs(NAMES), config.block_size, 1)
    charset = charset_of([text])
    model = microgpt.create(config, charset, engine="scalar")
    tokens = model.tokenizer.encode(text)
    values = Values(monkeypatch)
    foretold = extrapolation.extrapolated(config, charset, tokens, seed=42, seconds=2)
    values.made = 0
    model.train_step(tokens, 0, 0.01)
    assert foretold == pytest.approx(values.made, rel=0.1)


def test_the_comparison_with_pytorch_skips_without_it() -> None:
    hide = "import sys; sys.modules['torch'] = None; sys.argv = ['bench_torch']\n"
    code = hide + "from microgpt.lab.bench_torch import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0
    assert result.stderr == "skipped: torch is not installed\n"


def test_the_comparison_with_pytorch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="needs PyTorch: .venv/bin/pip install -e '.[torch]'")
    monkeypatch.setattr(bench_torch, "CHAT_SIZED", microgpt.ModelConfig(n_layer=2, block_size=40))
    monkeypatch.setattr(bench_torch, "FIRST", 10)
    monkeypatch.setattr(sys, "argv", ["bench_torch", "--repeats", "1"])
    bench_torch.main()
    first, small, large = capsys.readouterr().out.splitlines()
    assert "PyTorch" in first
    assert small.startswith("4,192 parameters, 1 thread(s), medians of 1 repeats of 10 steps: ")
    assert "parameters, 1 thread(s), medians of 1 repeats of 2 steps: tensor " in large
    monkeypatch.setattr(sys, "argv", ["bench_torch", "--repeats", "1", "--json"])
    bench_torch.main()
    result = json.loads(capsys.readouterr().out)
    times = result["large"]["us_per_step"]
    assert result["large"]["speedup"] == pytest.approx(times["torch"] / times["tensor"])
    assert result["large"]["positions"] == 40


def test_models_that_differ_are_not_compared() -> None:
    models = {str(seed): microgpt.create(microgpt.ModelConfig(), seed=seed) for seed in (1, 2)}
    encoded = [models["1"].tokenizer.encode("emma")]
    with pytest.raises(SystemExit, match="error: the models differ, losses at step 0"):
        timing.check_losses(models, encoded)
    with pytest.raises(SystemExit, match="error: 2 generates only . of 100 documents as it should"):
        timing.check_samples(models)
