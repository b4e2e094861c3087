"""Engine torch: held against tensor, minibatches, processes, checkpoints, and the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import microgpt
import numpy as np
import pytest
from microgpt import conversations, data
from microgpt.cli import cli
from microgpt.engines.distributed import Processes

torch = pytest.importorskip("torch", reason="needs PyTorch: .venv/bin/pip install -e '.[torch]'")
pytest.importorskip("safetensors", reason="needs safetensors: .venv/bin/pip install -e '.[torch]'")

from microgpt.runs import checkpoint as torch_checkpoint  # noqa: E402 - imports torch

torch.set_num_threads(1)  # for products this small, more threads are slower

MICROGPT = Path(sys.executable).with_name("microgpt")
TORCHRUN = Path(sys.executable).with_name("torchrun")

CONFIGS = [
    microgpt.ModelConfig(),
    microgpt.ModelConfig(tie_lm_head=True),
    microgpt.ModelConfig(n_layer=2, n_head=2, input_rmsnorm=False),
    microgpt.ModelConfig(n_embd=48, n_layer=2, block_size=64),
]
TEXTS = ["emma", "a", "maryalexandrinaofthehouse", "olivia"]


def pair(config: microgpt.ModelConfig, dtype: str) -> tuple[microgpt.Model, microgpt.Model]:
    """Return the same model in the engines torch and tensor."""
    engines = ("torch", "tensor")
    ours, reference = (microgpt.create(config, engine=e, dtype=dtype) for e in engines)
    return ours, reference


def largest_error(ours: dict, reference: dict) -> float:
    """Return the largest difference, relative to the largest entry of its matrix or 0.001."""
    return max(np.abs(ours[n] - r).max() / max(np.abs(r).max(), 1e-3) for n, r in reference.items())


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_parity_with_tensor(config: microgpt.ModelConfig, dtype: str, tolerance: float) -> None:
    ours, reference = pair(config, dtype)
    for text in TEXTS:
        tokens = ours.tokenizer.encode(text)
        for mask in (None, [i % 3 == 0 for i in range(len(tokens) - 1)]):
            loss, grads = ours.loss_and_grads(tokens, mask)
            expected_loss, expected = reference.loss_and_grads(tokens, mask)
            assert loss == pytest.approx(expected_loss, rel=tolerance)
            assert largest_error(grads, expected) < tolerance
    step, expected_step = ours.decoder(), reference.decoder()
    for token in ours.tokenizer.encode("maryalexandrina")[:16]:
        assert np.allclose(step(token), expected_step(token), atol=10 * tolerance)


def test_20_steps_give_the_weights_that_tensor_has() -> None:
    ours, reference = pair(microgpt.ModelConfig(), "float64")
    config = microgpt.TrainConfig(steps=20, order="sequential")
    losses, expected = (
        [record.loss for record in microgpt.train(m, TEXTS, config)] for m in (ours, reference)
    )
    assert losses == pytest.approx(expected, rel=1e-9)
    assert largest_error(ours.weights, reference.weights) < 1e-9


def test_a_minibatch_is_the_mean_of_its_documents() -> None:
    ours, reference = pair(microgpt.ModelConfig(), "float64")
    documents = [ours.tokenizer.encode(text) for text in TEXTS]
    masks = [None, None, [i > 7 for i in range(26)], [True] * 6 + [False]]
    loss, grads = ours.batch_loss_and_grads(documents, masks)
    parts = [reference.loss_and_grads(*pair) for pair in zip(documents, masks, strict=True)]
    mean = {name: sum(g[name] for _, g in parts) / 4 for name in grads}
    assert loss == pytest.approx(sum(part for part, _ in parts) / 4, rel=1e-12)
    assert largest_error(grads, mean) < 1e-12


def test_accumulation_changes_nothing_but_memory() -> None:
    whole = microgpt.create(microgpt.ModelConfig(), engine="torch", dtype="float64")
    parts = microgpt.create(microgpt.ModelConfig(), engine="torch", dtype="float64")
    big = microgpt.TrainConfig(steps=10, batch=4)
    small = microgpt.TrainConfig(steps=10, batch=2, gradient_accumulation=2)
    losses = [
        [r.loss for r in microgpt.train(m, TEXTS, c)] for m, c in [(whole, big), (parts, small)]
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    assert largest_error(parts.weights, whole.weights) < 1e-9


def test_weights_json_in_and_out(tmp_path: Path) -> None:
    model = microgpt.create(microgpt.ModelConfig(), engine="torch")
    model.save(tmp_path / "model")
    back = microgpt.load(tmp_path / "model", engine="torch")
    other = microgpt.load(tmp_path / "model", engine="tensor")
    for name, matrix in model.weights.items():
        assert np.array_equal(matrix, back.weights[name])
        assert np.array_equal(matrix, other.weights[name])
    greedy = [microgpt.generate(m, 5, 0.01, 1) for m in (model, back, other)]
    assert greedy[0] == greedy[1] == greedy[2]


def test_bfloat16_needs_cuda() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    with pytest.raises(ValueError, match="CUDA"):
        microgpt.create(microgpt.ModelConfig(), engine="torch", dtype="bfloat16")
    with pytest.raises(ValueError, match="engine torch"):
        microgpt.create(microgpt.ModelConfig(), engine="tensor", dtype="bfloat16")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("bfloat16", 0.05)])
def test_cuda(dtype: str, tolerance: float) -> None:
    ours = microgpt.create(CONFIGS[3], engine="torch", dtype=dtype)
    reference = microgpt.create(CONFIGS[3])
    assert ours.device.type == "cuda"
    for text in TEXTS:
        tokens = ours.tokenizer.encode(text)
        loss, _ = ours.loss_and_grads(tokens)
        assert loss == pytest.approx(reference.loss_and_grads(tokens)[0], rel=tolerance)
    config = microgpt.TrainConfig(steps=200, batch=4)
    losses = [record.loss for record in microgpt.train(ours, TEXTS, config)]
    assert losses[-1] < 0.5 < losses[0]
    assert len(microgpt.generate(ours, 3)) == 3


# The command line: runs that are interrupted, runs of several processes.

SIZES = ["--n-embd", "32", "--block-size", "128", "--dtype", "float64"]


def train(*words: object, cwd: Path, program: tuple = (MICROGPT,)) -> list[dict]:
    """Run the command line with one thread a process; return the log of the run it leaves."""
    command = [*program, *words, "--out", "run"]
    result = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return [json.loads(line) for line in (cwd / "run" / "log.jsonl").read_text().splitlines()]


CHAT = ["train", "--chat", "--assistant-only", "--engine", "torch", "--decay", "cosine", *SIZES]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    words = [*CHAT, "--steps", 12, "--batch", 4, "--checkpoint-every", 7]
    return folder / "run", train(*words, cwd=folder)


def test_a_run_resumes_exactly(uninterrupted: tuple[Path, list[dict]], tmp_path: Path) -> None:
    folder, log = uninterrupted
    resumed = train("resume", folder, cwd=tmp_path)
    assert resumed == log
    weights = [(run / "model" / "weights.json").read_bytes() for run in (folder, tmp_path / "run")]
    assert weights[0] == weights[1]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["resumed"]["step"] == 7


def test_two_processes_are_one_with_the_doubled_batch(
    uninterrupted: tuple[Path, list[dict]], tmp_path: Path
) -> None:
    _, log = uninterrupted
    torchrun = (TORCHRUN, "--standalone", "--nproc-per-node", 2, "-m", "microgpt")
    words = [*CHAT, "--steps", 12, "--batch", 1, "--accumulate", 2]
    two = train(*words, cwd=tmp_path, program=torchrun)
    assert [r["loss"] for r in two] == pytest.approx([r["loss"] for r in log], rel=1e-9)


def test_ctrl_c_leaves_the_model_and_the_checkpoint(tmp_path: Path) -> None:
    words = ["--steps", "1000000", "--checkpoint-every", "2", "--out", "run"]
    process = subprocess.Popen(
        [MICROGPT, "train", "--engine", "torch", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    run = tmp_path / "run"
    while not (run / "checkpoint.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert output.endswith("interrupted: the run is in run\n")
    assert "Traceback" not in errors
    _, _, step = torch_checkpoint.load(run)
    steps = len((run / "log.jsonl").read_text().splitlines())
    assert 0 <= steps - step <= 2  # Ctrl-C may come between a step's record and its checkpoint
    assert len(microgpt.generate(microgpt.load(run))) == 1


def test_a_checkpoint_of_other_processes(tmp_path: Path) -> None:
    model = microgpt.create(microgpt.ModelConfig(), engine="torch")
    model.processes = Processes(0, 2)
    torch_checkpoint.save(tmp_path, model, microgpt.TrainConfig(), 5)
    with pytest.raises(torch_checkpoint.CheckpointError, match="2 processes, not 1"):
        torch_checkpoint.load(tmp_path)


def test_the_mean_loss_of_held_out_documents() -> None:
    ours, reference = pair(microgpt.ModelConfig(), "float64")
    documents = [ours.tokenizer.encode(text) for text in TEXTS * 10]
    masks = [None, None, [i > 7 for i in range(26)], None] * 10
    expected = reference.mean_loss(documents, masks)
    assert ours.mean_loss(documents, masks) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("broken", ["cut", "other"])
def test_a_checkpoint_that_is_none(
    uninterrupted: tuple[Path, list[dict]], tmp_path: Path, broken: str
) -> None:
    whole = (uninterrupted[0] / "checkpoint.safetensors").read_bytes()
    path = tmp_path / "checkpoint.safetensors"
    if broken == "cut":
        path.write_bytes(whole[:-100])
    if broken == "other":
        from safetensors.numpy import save_file

        save_file({"a": np.zeros(1)}, path)
    with pytest.raises(torch_checkpoint.CheckpointError) as error:
        torch_checkpoint.load(tmp_path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(torch_checkpoint.CheckpointError) as error:
        torch_checkpoint.load(tmp_path)
    hint = "train with --engine torch --checkpoint-every N"
    assert str(error.value) == f"{tmp_path} has no checkpoint: {hint}"


def command_line(*words: object) -> None:
    cli.main(list(map(str, words)), standalone_mode=False)


@pytest.mark.parametrize("words", [["--steps", 4], ["--steps", 9, "--stop-after", 4]])
def test_a_run_at_its_end_has_nothing_to_resume(tmp_path: Path, words: list) -> None:
    run = tmp_path / "run"
    command_line("train", "--engine", "torch", *words, "--checkpoint-every", 2, "--out", run)
    with pytest.raises(ValueError, match="run is complete at step 4"):
        command_line("resume", run, "--out", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_loss_that_is_no_number_leaves_the_model_of_the_checkpoint_before(tmp_path: Path) -> None:
    too_high = ["train", "--engine", "torch", "--steps", 40, "--seed", 1, "--lr", "6e6", "--out"]
    with pytest.raises(ValueError, match="lower lr") as error:
        command_line(*too_high, tmp_path / "alone")
    assert str(error.value).endswith(f"; the run so far is in {tmp_path / 'alone'}")
    assert not (tmp_path / "alone" / "model").exists()
    assert (tmp_path / "alone" / "loss.png").exists()
    done = len((tmp_path / "alone" / "log.jsonl").read_text().splitlines())
    assert 3 <= done < 40  # a record for each loss that was a number

    for every in (done - 1, done):  # the weights at the end of the last step are the spoilt ones
        with pytest.raises(ValueError, match="lower lr"):
            command_line(*too_high, tmp_path / str(every), "--checkpoint-every", every)
    assert not (tmp_path / str(done) / "model").exists()
    command_line(*too_high, tmp_path / "good", "--stop-after", done - 1)
    model, good = (microgpt.load(tmp_path / run) for run in (str(done - 1), "good"))
    for name, matrix in good.weights.items():
        assert np.array_equal(model.weights[name], matrix)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), MemoryError),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), RuntimeError),
    ],
)
def test_only_too_little_memory_is_out_of_memory(
    monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type
) -> None:
    model = microgpt.create(microgpt.ModelConfig(), engine="torch")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(model, "_loss", fail)
    with pytest.raises(expected):
        model.train_step(model.tokenizer.encode("emma"), 0, 0.01)


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA has memory of its own")
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: it limits a process's memory")
def test_too_large_a_batch_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("a" * 1000)
    sizes = "--batch 8000 --block-size 1000 --n-embd 256"  # 8 GB
    words = f"exec $0 train --engine torch --data long.txt {sizes} --steps 1 --out run"
    result = subprocess.run(
        ["bash", "-c", f"ulimit -v 8000000; {words}", MICROGPT],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line == (
        "error: out of memory with 8000 documents at a time: take a smaller --batch or more "
        "--gradient-accumulation; the run so far is in run"
    )


def test_data_that_was_changed_since(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("emma\nava\n")
    run = str(tmp_path / "run")
    words = ["train", "--engine", "torch", "--data", str(names), "--steps", "4", "--out", run]
    cli.main([*words, "--checkpoint-every", "2"], standalone_mode=False)
    names.write_text("emma\n")
    with pytest.raises(ValueError, match="not what it was"):
        cli.main(["resume", run], standalone_mode=False)


def test_a_chat_model_of_torch_learns(tmp_path: Path) -> None:
    """Minibatches with masks, as `microgpt train --chat --batch 7` has them."""
    talks, _ = conversations.read_conversations(conversations.CONVERSATIONS)
    charset = data.charset_of([message.content for talk in talks for message in talk])
    config = microgpt.ModelConfig(n_embd=32, block_size=128)
    special = conversations.SPECIAL_TOKENS
    model = microgpt.create(config, charset, engine="torch", special_tokens=special)
    chats = conversations.chat_documents(model.tokenizer, talks, 128, assistant_only=True)
    run = microgpt.TrainConfig(steps=60, batch=7)
    losses = [record.loss for record in microgpt.train(model, chats.documents, run)]
    assert sum(losses[-10:]) / 10 < 0.6 * losses[0]
