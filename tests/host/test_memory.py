"""Memory: the estimates against what processes take, and refusals before anything is taken."""

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import microgpt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from microgpt import ConfigError, ModelConfig, TrainConfig, memory
from microgpt.engines import NOT_BUILT, native_is_here
from microgpt.lab.ablation import check_here, trainings
from microgpt.memory import Work
from microgpt.training import work_of

from tests.support.commands import run

# A process that prints the most memory that it took, without what Python and its modules take.
PEAK = """
import json, sys
import numpy as np
import microgpt
from microgpt.engines import build

def resident(what):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(what))

sizes, engine, dtype, batch, length, folder = json.loads(sys.argv[1])
if engine == "torch":  # the first step imports more
    warm = microgpt.create(microgpt.ModelConfig(), engine="torch")
    warm.train_step([1, 2, 3], 0, 0.01)
np.ones((400, 400)) @ np.ones((400, 400))
before = resident("VmRSS")
if batch:
    model = microgpt.create(microgpt.ModelConfig(**sizes), engine=engine, dtype=dtype)
    letters = "abcdefghijklmnopqrstuvwxyz" * 50
    docs = [letters[i : i + length] for i in range(20)]
    for record in microgpt.train(model, docs, microgpt.TrainConfig(steps=2, batch=batch)):
        pass
    if folder:
        model.save(folder)
else:
    microgpt.load(folder, engine, dtype)
print(resident("VmHWM") - before)
"""


def peak(
    sizes: dict[str, int],
    engine: str,
    dtype: str,
    batch: int,
    length: int,
    folder: Path | None = None,
) -> int:
    """Return the bytes that a training of 2 steps and a save take, or a load if `batch` is 0."""
    words = json.dumps([sizes, engine, dtype, batch, length, folder and str(folder)])
    output = subprocess.run([sys.executable, "-c", PEAK, words], stdout=subprocess.PIPE, check=True)
    return int(output.stdout)


PARAMETERS = {"n_embd": 400, "n_layer": 2}  # 3.9 million, and short documents
ATTENTION = {"n_embd": 16, "n_head": 8, "block_size": 1000}  # one long document
MEASURED = [
    (PARAMETERS, "tensor", "float32", 1, 5),
    (PARAMETERS, "tensor", "float64", 1, 5),
    ({"n_embd": 64, "n_head": 8, "n_layer": 2}, "tensor", "float32", 500, 10),
    ({}, "tensor", "float32", 2500, 5),
    (ATTENTION, "tensor", "float32", 1, 1000),
    ({"n_embd": 32, "block_size": 8}, "scalar", "float64", 1, 15),
    ({"n_embd": 88, "block_size": 2}, "scalar", "float64", 1, 5),
    (PARAMETERS, "native", "float32", 1, 5),
    (ATTENTION | {"n_layer": 2}, "native", "float32", 1, 1000),
    ({"n_embd": 256, "n_layer": 4, "block_size": 256}, "native", "float32", 8, 255),
    (PARAMETERS, "torch", "float32", 1, 5),
    ({"n_embd": 64, "n_head": 8, "n_layer": 2}, "torch", "float32", 500, 15),
]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(("sizes", "engine", "dtype", "batch", "length"), MEASURED)
def test_a_training_takes_what_is_estimated(
    sizes: dict[str, int], engine: str, dtype: str, batch: int, length: int, tmp_path: Path
) -> None:
    if engine == "torch":
        pytest.importorskip("torch")
    if engine == "native" and not native_is_here():
        pytest.skip(NOT_BUILT)
    taken = peak(sizes, engine, dtype, batch, length, tmp_path / "m")
    work = Work(ModelConfig(**sizes), 27, engine, dtype, batch, 1, [length + 1])
    assert taken > 40e6  # much more than what varies otherwise
    assert 0.6 * taken < memory.to_train(work) < 1.6 * taken, memory.to_train(work) / taken


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("engine", ["tensor", "scalar"])
def test_a_load_takes_what_is_estimated(tmp_path: Path, engine: str) -> None:
    model = microgpt.create(ModelConfig(n_embd=256, n_layer=2))
    model.save(tmp_path)
    taken = peak({}, engine, "float32", 0, 0, tmp_path)
    count = model.parameter_count
    size = (tmp_path / "weights.json").stat().st_size
    work = Work(model.config, 27, engine, "float32")
    estimated = max(memory.to_load(size, count), memory.to_create(work))
    assert 0.6 * taken < estimated < 1.6 * taken, estimated / taken


ENORMOUS = [
    ({"n_layer": 10**9}, "n_layer (1,000,000,000)"),
    ({"n_embd": 10**8}, "n_embd (100,000,000)"),
    ({"block_size": 10**10}, "block_size (10,000,000,000)"),
    ({"n_layer": 10**12, "n_embd": 10**12, "n_head": 1}, "n_embd (1,000,000,000,000)"),
]


@pytest.mark.parametrize(("sizes", "blamed"), ENORMOUS)
@pytest.mark.parametrize("engine", ["scalar", "tensor"])
def test_an_enormous_model_is_refused_before_it_takes_memory(
    sizes: dict[str, int], blamed: str, engine: str
) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError) as error:
            microgpt.create(ModelConfig(**sizes), engine=engine)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1e6
    there = memory.of_machine()
    assert there
    assert str(error.value).endswith(f"lower {blamed}")
    assert f"this machine has {there / 1e9:,.1f} GB" in str(error.value)


@pytest.mark.parametrize(
    ("config", "blamed"),
    [
        ({"batch": 10**9}, "batch (1,000,000,000)"),
        ({"gradient_accumulation": 10**10}, "gradient_accumulation (10,000,000,000)"),
    ],
)
def test_an_enormous_batch_is_refused_before_it_takes_memory(
    config: dict[str, int], blamed: str
) -> None:
    model = microgpt.create(ModelConfig())
    records = microgpt.train(model, ["emma", "ava"], TrainConfig(**config))
    with pytest.raises(ConfigError) as error:
        next(records)
    assert str(error.value).endswith(f"lower {blamed}")


@pytest.mark.parametrize(
    "words",
    [
        ["--n-embd", 10**8],
        ["--n-layer", 10**9, "--engine", "scalar"],
        ["--batch", 10**8],
        ["--gradient-accumulation", 10**10],
    ],
)
def test_the_command_names_the_option_and_leaves_no_run(tmp_path: Path, words: list) -> None:
    error = run("train", *words, cwd=tmp_path, code=1).stderr
    assert f"lower {words[0]} ({words[1]:,})" in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_gradcheck_and_ablate_refuse_too(tmp_path: Path) -> None:
    error = run("gradcheck", "--n-embd", 10**8, cwd=tmp_path, code=1).stderr
    assert "lower --n-embd (100,000,000)" in error
    words = ["ablate", "--vary", "n_embd=16,100000000", "--steps", 1]
    assert "lower n_embd (100,000,000)" in run(*words, cwd=tmp_path, code=1).stderr
    assert list(tmp_path.iterdir()) == []


def test_trainings_at_once_need_the_memory_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    docs = ["emma", "ava"]
    jobs = trainings(ModelConfig(), TrainConfig(), {"n_embd": [64, 128]}, 2)
    of_large = memory.to_train(
        work_of(jobs[2].model, 5, jobs[2].engine, "float32", docs, jobs[2].train)
    )
    monkeypatch.setattr(memory, "of_machine", lambda: 2 * of_large)
    check_here(jobs, docs, 2)
    with pytest.raises(ConfigError, match="^3 trainings at once need .* take fewer workers$"):
        check_here(jobs, docs, 3)


def test_a_model_that_fits_the_machine_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(ModelConfig(), 27, lengths=[16])
    need = memory.to_train(work)
    monkeypatch.setattr(memory, "of_machine", lambda: need)
    memory.check(work, "to train", memory.to_train)
    monkeypatch.setattr(memory, "of_machine", lambda: need - 1)
    with pytest.raises(ConfigError, match=r"^a model of 4,192 parameters needs .* kB to train, "):
        memory.check(work, "to train", memory.to_train)
    monkeypatch.setattr(memory, "of_machine", lambda: None)  # on Windows
    memory.check(work, "to train", memory.to_train)


@given(
    engine=st.sampled_from(["tensor", "scalar", "torch", "native"]),
    block_size=st.integers(1, 300),
    n_embd=st.integers(1, 8).map(lambda n: 4 * n),
    batch=st.integers(1, 100),
    parts=st.integers(1, 5),
    lengths=st.lists(st.integers(1, 400), min_size=1),
    masks=st.booleans(),
)
def test_documents_that_are_not_looked_at_are_estimated_at_their_most(
    engine: str,
    block_size: int,
    n_embd: int,
    batch: int,
    parts: int,
    lengths: list[int],
    masks: bool,
) -> None:
    model = ModelConfig(n_embd=n_embd, block_size=block_size)
    work = Work(model, 27, engine, "float32", batch, parts, lengths, masks)
    unknown = Work(model, 27, engine, "float32", batch, parts)
    assert memory.to_train(work) <= memory.most_to_train(unknown)


def test_each_thread_that_has_documents_takes_memory() -> None:
    def needed(threads: int) -> int:
        return memory.to_train(Work(ModelConfig(), 27, "native", batch=4, threads=threads))

    assert needed(1) < needed(2) < needed(4) == needed(8)
    assert needed(4) - needed(2) == 2 * (needed(2) - needed(1))


def test_the_limit_of_a_container_counts(tmp_path: Path) -> None:
    groups, root = tmp_path / "cgroup", tmp_path / "fs"
    groups.write_text("4:memory:/a/b\n1:cpu:/a\n0::/c/d\n")
    for name, limit in (
        ("memory/memory.limit_in_bytes", "4000"),
        ("memory/a/b/memory.limit_in_bytes", "9223372036854771712"),
        ("memory.max", "3000"),
        ("c/memory.max", "1000"),
        ("c/d/memory.max", "max"),
        ("cpu/a/memory.max", "1"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(limit + "\n")
    assert sorted(memory._limits(groups, root)) == [1000, 3000, 4000, 9223372036854771712]
    assert memory._limits(tmp_path / "nothing", root) == []


def test_counted() -> None:
    numbers = [4192, 12_600_000, 4 * 10**9, 3 * 10**12, 12 * 10**16]
    assert [memory.counted(number) for number in numbers] == [
        "4,192",
        "12.6 million",
        "4.0 billion",
        "3.0 trillion",
        "1.2e+17",
    ]
