"""The benchmark: what it reports, and that its extrapolation is near what it stands for."""

import json
import subprocess
import sys
import time
from pathlib import Path

import microgpt
import pytest
from microgpt.data import NAMES, charset_of, read_docs
from microgpt.lab import bench
from ugpt.layout import parameter_table

MICROGPT = str(Path(sys.executable).with_name("microgpt"))


def test_json(tmp_path: Path) -> None:
    words = ["bench", "--steps", "2", "--repeats", "3", "--no-chat-sized", "--json"]
    output = subprocess.run([MICROGPT, *words], cwd=tmp_path, capture_output=True, text=True).stdout
    result = json.loads(output)
    assert result["protocol"]["parameters"] == 4192
    assert result["environment"]["processor"]
    scalar, tensor = result["engines"]["scalar"], result["engines"]["tensor"]
    for row in (scalar, tensor):
        assert row["steps_per_s"] == pytest.approx(1e6 / row["us_per_step"])
        assert row["tokens_per_s"] > row["steps_per_s"]
    ratio = scalar["us_per_step"] / tensor["us_per_step"]
    assert result["speedup"] == {"scalar": 1, "tensor": pytest.approx(ratio)}
    assert ratio > 100
    assert result["minibatch"]["speedup"] > 2


def test_a_table_for_people(tmp_path: Path) -> None:
    words = ["bench", "--steps", "1", "--repeats", "1", "--no-chat-sized"]
    output = subprocess.run([MICROGPT, *words], cwd=tmp_path, capture_output=True, text=True).stdout
    assert "4,192 parameters, a document a step, medians of 1 repeats of 1 steps" in output
    assert "minibatches of 32: " in output


def test_documents() -> None:
    docs = read_docs(NAMES)
    assert bench.spread(docs[:1000], 4) == [docs[0], docs[250], docs[500], docs[750]]
    assert bench.spread(["a", "b"], 5) == ["a", "b"]
    long = bench.long_documents(["ab", "c"], 7, 3)
    assert long == ["ab c ab", " c ab c", " ab c a"]


def test_multiply_adds_are_what_the_matrices_have() -> None:
    config = microgpt.ModelConfig(n_embd=8, n_layer=2)
    sizes = {name: r * c for name, (r, c), _ in parameter_table(config.sizes(27))}
    matrices = sum(sizes.values()) - sizes["wte"] - sizes["wpe"]
    assert bench.multiply_adds(config, 27, 1) == matrices + 2 * 2 * 8
    assert bench.multiply_adds(config, 27, 3) == 3 * matrices + 2 * 2 * 8 * (1 + 2 + 3)


def test_extrapolation_is_near_the_time_of_a_whole_step() -> None:
    config = microgpt.ModelConfig(n_embd=16, n_layer=3, block_size=24)
    (text,) = bench.long_documents(read_docs(NAMES), config.block_size, 1)
    charset = charset_of([text])
    model = microgpt.create(config, charset, engine="scalar")
    tokens = model.tokenizer.encode(text)
    foretold = bench.extrapolated(config, charset, tokens, seed=42, seconds=2)
    start = time.perf_counter()
    model.train_step(tokens, 0, 0.01)
    measured = time.perf_counter() - start
    assert measured / 4 < foretold < measured * 4  # the machine may be busy with other things


def test_the_comparison_with_pytorch_skips_without_it(tmp_path: Path) -> None:
    hide = "import sys; sys.modules['torch'] = None; sys.argv = ['bench_torch']\n"
    code = hide + "from microgpt.lab.bench_torch import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0
    assert result.stderr == "skipped: torch is not installed\n"
