"""`import ugpt` at the prompt of the virtual board."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from microgpt_board.emulation.micropython import find_micropython
from microgpt_board.image import names_bin
from microgpt_board.image.names_bin import Source

HEAP = "300k"  # as much as the whole program needs: no room for two runs


@pytest.fixture
def board(flash: Path, tmp_path: Path) -> Path:
    """A board of our own, without checkpoints."""
    folder = tmp_path / "board"
    shutil.copytree(flash, folder)
    for path in folder.glob("checkpoint*"):
        path.unlink()
    return folder


def at_prompt(board: Path, code: str, heap: str = HEAP) -> list[str]:
    """Return the lines that `code` prints, behind `import ugpt`."""
    command = [find_micropython(), "-X", f"heapsize={heap}", "-c", "import ugpt\n" + code]
    result = subprocess.run(command, cwd=board, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.splitlines()


BITS = """
from binascii import crc32
from ugpt import app
from ugpt.checkpoint import arrays_of
print("bits", [crc32(array) for array in arrays_of(app.current[0])])
"""


def bits(lines: list[str]) -> list[str]:
    """Return what BITS printed, each time."""
    return [line for line in lines if line.startswith("bits")]


def test_a_run_after_another_equals_a_first_run(board: Path) -> None:
    (expected,) = bits(at_prompt(board, "ugpt.train(steps=5, seed=7)" + BITS + "ugpt.reset()"))
    code = f"ugpt.train(steps=20, seed=3){BITS}ugpt.reset()\nugpt.train(steps=5, seed=7){BITS}"
    other, found = bits(at_prompt(board, code))
    assert found == expected != other


def test_train_goes_on_with_the_run_in_memory_and_with_the_saved_one(board: Path) -> None:
    stop = """
from ugpt import training
run_step = training.Training.run_step
def stop_at_4(self):
    if self.step == 4:
        raise KeyboardInterrupt
    return run_step(self)
training.Training.run_step = stop_at_4
ugpt.train(steps=9, seed=7)
"""
    go_on = "training.Training.run_step = run_step\nugpt.train(steps=9, seed=7)" + BITS
    lines = at_prompt(board, stop + go_on + "ugpt.reset()")
    assert "# interrupted" in lines
    assert not any("resumed" in line for line in lines)
    (found,) = bits(lines)
    (expected,) = bits(at_prompt(board, "ugpt.train(steps=9, seed=7)" + BITS + "ugpt.reset()"))
    assert found == expected
    at_prompt(board, stop)
    lines = at_prompt(board, "ugpt.train(steps=9, seed=7)" + BITS)
    assert "# resumed at step 4 of 9 from checkpoint.bin" in lines
    assert bits(lines) == [expected]


def test_names_from_the_saved_run_and_from_a_prompt(board: Path) -> None:
    at_prompt(board, "ugpt.train(steps=30)")
    lines = at_prompt(board, 'for name in ugpt.generate(3, prompt="ma"): print("-", name)')
    names = [line for line in lines if line.startswith("-")]
    assert len(names) == 3
    assert all(name.startswith("- ma") for name in names)
    lines = at_prompt(board, 'for name in ugpt.generate(3, temperature=0): print("-", name)')
    assert len({line for line in lines if line.startswith("-")}) == 1


@pytest.mark.parametrize(
    ("call", "count"),
    [('"ma"', 10), ('"ma", 3', 3), ('"ma", 2, 1.5', 2), ('"ma", n=4', 4), ("5, 0.8, 'ma'", 5)],
)
def test_a_text_first_is_the_prompt(board: Path, call: str, count: int) -> None:
    code = f'ugpt.train(steps=2)\nfor name in ugpt.generate({call}): print("-", name)'
    names = [line for line in at_prompt(board, code) if line.startswith("-")]
    assert len(names) == count
    assert all(name.startswith("- ma") for name in names)


def test_a_new_run_is_saved_and_the_one_before_is_kept(board: Path) -> None:
    (first,) = bits(at_prompt(board, "ugpt.train(steps=5, seed=7)" + BITS))
    lines = at_prompt(board, "ugpt.train(steps=6, seed=8)" + BITS)
    assert (
        "# checkpoint.bin is of another run (seed 7, not 8): it is kept as checkpoint-1.bin"
    ) in lines
    assert lines.index("# saved at step 6 of 6")
    (second,) = bits(lines)
    # Another lr and fewer steps are other runs too, behind a run in memory as well.
    lines = at_prompt(board, "ugpt.train()\nugpt.train(seed=8, steps=6, lr=0.003)")
    assert any(line.endswith("it is kept as checkpoint-2.bin") for line in lines)
    assert [line.split()[3] for line in lines if line.startswith("step:0 ")] == ["lr:0.00300"]
    lines = at_prompt(board, "ugpt.load()\nugpt.train(steps=3)\nugpt.info()")
    assert [line for line in lines if line.startswith("checkpoint")] == [
        "checkpoint.bin: step 3 of 3, seed 42",
        "checkpoint-old.bin: none",
        "checkpoint-1.bin: step 5 of 5, seed 7",
        "checkpoint-2.bin: step 6 of 6, seed 8",
        "checkpoint-3.bin: step 6 of 6, seed 8",
    ]
    lines = at_prompt(board, 'ugpt.load("checkpoint-1.bin")' + BITS + "ugpt.info()")
    assert "# checkpoint.bin is checkpoint-4.bin now" in lines
    assert bits(lines) == [first]
    assert "checkpoint.bin: step 5 of 5, seed 7" in lines
    assert bits(at_prompt(board, 'ugpt.load("checkpoint-2.bin")' + BITS)) == [second]
    at_prompt(board, "ugpt.reset()")
    assert sorted(path.name for path in board.glob("checkpoint*")) == [
        "checkpoint-1.bin", "checkpoint-3.bin", "checkpoint-4.bin"
    ]  # fmt: skip


def test_after_a_reset_the_board_goes_on_with_what_it_was_told_last(board: Path) -> None:
    (board / "ugpt.json").unlink(missing_ok=True)
    main = "from ugpt import app\napp.main()"
    at_prompt(board, "ugpt.train(steps=6, seed=8, lr=0.02)")
    lines = at_prompt(board, main)
    assert " seed:8 " in lines[0]
    assert lines[1] == "# complete at step 6 of 6 from checkpoint.bin"
    assert sum(line.startswith("name:") for line in lines) == 20
    (board / "ugpt.json").write_text('{"steps": 9}')  # what it does not say is the saved run's
    lines = at_prompt(board, main)
    assert lines[1] == "# resumed at step 6 of 9 from checkpoint.bin, extended from 6 steps"
    (board / "ugpt.json").write_text('{"seed": 42}')
    lines = at_prompt(board, main)
    assert lines[2] == (
        "# checkpoint.bin is of another run (seed 8, not 42): it is left alone, and this run is "
        "not saved; make reset-training, or ugpt.reset(), removes it"
    )
    (board / "ugpt.json").unlink()


def test_another_list_of_names_is_another_run(board: Path, names: Path) -> None:
    at_prompt(board, "ugpt.train(steps=5, seed=7)")
    names_bin.write(Source(names, fold=True), board / "names.bin")
    lines = at_prompt(board, "ugpt.train()\nugpt.info()")
    assert any(
        line.endswith("(data 32469, not 8): it is kept as checkpoint-1.bin") for line in lines
    )
    assert "checkpoint-1.bin: step 5 of 5, seed 7" in lines


def test_more_steps_extend_a_run_saved_or_in_memory(board: Path) -> None:
    extend = "ugpt.train(steps=12)" + BITS + "ugpt.reset()"
    at_prompt(board, "ugpt.train(steps=5, seed=7)")
    lines = at_prompt(board, extend)
    assert "# resumed at step 5 of 12 from checkpoint.bin, extended from 5 steps" in lines
    assert "# saved at step 12 of 12" in lines
    assert [line.split()[3] for line in lines if line.startswith("step:10 ")] == ["lr:0.00167"]
    (expected,) = bits(lines)
    lines = at_prompt(board, "ugpt.train(steps=5, seed=7)\n" + extend)
    assert "# extended from 5 to 12 steps" in lines
    assert bits(lines) == [expected]


def test_a_complete_run_says_how_it_goes_on(board: Path) -> None:
    lines = at_prompt(board, "ugpt.train(steps=5)\nugpt.train()")
    assert lines[-1] == "# the run is complete: more steps extend it, ugpt.train(steps=...)"


def test_saved_and_loaded(board: Path) -> None:
    (trained,) = bits(at_prompt(board, "ugpt.train(steps=5, seed=7)" + BITS))
    (loaded,) = bits(at_prompt(board, "ugpt.load()" + BITS + "ugpt.save()"))
    assert loaded == trained
    lines = at_prompt(board, "ugpt.load()\nugpt.info()")
    assert "names: 32469 in names.bin, 26 characters" in lines
    assert any(line.startswith("in memory: step 5 of 5, seed 7, ") for line in lines)
    assert "checkpoint.bin: step 5 of 5, seed 7" in lines
    at_prompt(board, "ugpt.reset()")
    assert "checkpoint.bin: none" in at_prompt(board, "ugpt.info()")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("train(steps=0)", "ValueError: steps must be a whole number from 1 to 1000000"),
        ("train(seed=1.5)", "ValueError: seed must be a whole number from 0 to 4294967295"),
        ("save()", "CheckpointError: there is no run in memory: ugpt.train() or ugpt.load()"),
        ("load()", "CheckpointError: no run is saved: ugpt.train()"),
        ("generate()", "CheckpointError: no run is saved: ugpt.train()"),
        (
            "train(steps=1)\nugpt.generate(1, temperature=-1)",
            "ValueError: temperature must be a number from 0 to 100",
        ),
        ("train(steps=1)\nugpt.generate(1, temperature=1e39)", "ValueError: temperature must be"),
        ("train(steps=1)\nugpt.generate(1, prompt='M')", "ValueError: "),
        (
            "train(steps=1)\nugpt.generate(1, prompt='a' * 16)",
            "ValueError: a prompt is at most 15 characters, not 16",
        ),
        ("generate(0)", "ValueError: n must be a whole number of at least 1, not 0"),
        ("generate(-1)", "ValueError: n must be a whole number of at least 1, not -1"),
        ("generate(2.5)", "ValueError: n must be a whole number of at least 1, not 2.5"),
        ("generate('ma', 5, 0.5, 1)", "ValueError: n, temperature and prompt are all that can"),
        ("train(lr=2)", "ValueError: lr must be a number from 1e-06 to 1.0"),
        ("load('nothing.bin')", "CheckpointError: nothing.bin is not there: ugpt.info() lists"),
    ],
)
def test_what_cannot_be_done_is_an_error_that_says_so(board: Path, call: str, message: str) -> None:
    indented = call.replace("\n", "\n    ")
    code = (
        f"try:\n    ugpt.{indented}\nexcept Exception as e:\n    print(type(e).__name__ + ':', e)"
    )
    assert at_prompt(board, code)[-1].startswith(message)


def test_load_then_train_goes_on_with_what_was_loaded(board: Path) -> None:
    at_prompt(board, "ugpt.train(steps=5, seed=7)")
    lines = at_prompt(board, "ugpt.load()\nugpt.train()\nugpt.info()")
    assert any(line.startswith("in memory: step 5 of 5, seed 7, ") for line in lines)
    lines = at_prompt(board, "ugpt.train()\nugpt.info()")
    assert any(line.startswith("in memory: step 5 of 5, seed 7, ") for line in lines)


def test_another_run_is_replaced_only_when_told_to(board: Path) -> None:
    at_prompt(board, "ugpt.train(steps=5, seed=7)")
    code = """
from ugpt import app
settings = app.read_settings("ugpt.json")[0]
settings.update(seed=8, steps=6)
app.prepare(settings)  # as the board's program does
try:
    ugpt.save()
except Exception as error:
    print("refused:", error)
ugpt.info()
ugpt.save(replace=True)
ugpt.info()
"""
    lines = at_prompt(board, code)
    (refused,) = (line for line in lines if line.startswith("refused: "))
    assert "(seed 7, not 8)" in refused
    assert refused.endswith("ugpt.save(replace=True) replaces it")
    saved = [line for line in lines if line.startswith("checkpoint.bin:")]
    assert saved == ["checkpoint.bin: step 5 of 5, seed 7", "checkpoint.bin: step 0 of 6, seed 8"]


HEAP_OF_OTHER = "430k"  # no room for two runs here either
OTHER_SIZES = {"n_embd": 24, "n_head": 3, "n_layer": 2, "block_size": 32}
OTHER_SWITCHES = {"tie_lm_head": True, "input_rmsnorm": False}
OTHER = ", n_embd 24, n_head 3, n_layer 2, block_size 32, tie_lm_head 1, input_rmsnorm 0"


def test_the_sizes_of_the_settings_and_of_the_saved_run(board: Path) -> None:
    (board / "ugpt.json").write_text(json.dumps(OTHER_SIZES | OTHER_SWITCHES))
    lines = at_prompt(board, "ugpt.train(steps=5)" + BITS + "ugpt.info()", HEAP_OF_OTHER)
    (trained,) = bits(lines)
    assert any(
        line.startswith("in memory: step 5 of 5, seed 42, ") and line.endswith(OTHER)
        for line in lines
    )
    assert f"checkpoint.bin: step 5 of 5, seed 42{OTHER}" in lines

    (board / "ugpt.json").unlink()  # the saved run keeps its sizes
    assert bits(at_prompt(board, "ugpt.load()" + BITS, HEAP_OF_OTHER)) == [trained]
    go_on = "ugpt.train(steps=8)\nprint(ugpt.generate('ma', 1))\nugpt.info()"
    lines = at_prompt(board, go_on, HEAP_OF_OTHER)
    assert "# resumed at step 5 of 8 from checkpoint.bin, extended from 5 steps" in lines
    assert any(line.startswith("['ma") for line in lines)
    assert f"checkpoint.bin: step 8 of 8, seed 42{OTHER}" in lines


def test_runs_of_two_sizes_one_after_the_other(board: Path) -> None:
    """Each has the memory of the other: both together would be too much."""
    (expected,) = bits(at_prompt(board, "ugpt.train(steps=5, seed=7)" + BITS + "ugpt.reset()"))
    write = f"""
import json
def write(**settings):
    with open("ugpt.json", "w") as file:
        json.dump(settings, file)
write(**{OTHER_SIZES | OTHER_SWITCHES})
ugpt.train(steps=5, seed=7){BITS}ugpt.reset()
write()
ugpt.train(steps=5, seed=7){BITS}
print("failed", ugpt.selftest())
ugpt.load(){BITS}
"""
    lines = at_prompt(board, write, HEAP_OF_OTHER)
    assert "failed 0" in lines
    other, first, loaded = bits(lines)
    assert first == loaded == expected != other
    (board / "ugpt.json").unlink()


def test_sizes_that_cannot_be_are_an_error_of_the_settings(board: Path) -> None:
    (board / "ugpt.json").write_text('{"n_head": 3}')
    code = "try:\n    ugpt.train()\nexcept ValueError as e:\n    print('refused:', e)"
    assert at_prompt(board, code) == ["refused: n_embd 16 is not divisible by n_head 3"]
    (board / "ugpt.json").write_text('{"n_embd": 256, "n_layer": 8}')
    (refused,) = at_prompt(board, code)
    assert refused.startswith("refused: 6,309,376 parameters (n_embd 256, ")
    (board / "ugpt.json").unlink()


def test_the_self_test_twice_and_behind_a_run(board: Path) -> None:
    twice = "ugpt.selftest()\nprint('again')\nugpt.selftest()"
    for code in (twice, "ugpt.train(steps=3)\n" + twice):
        lines = at_prompt(board, code + "\nugpt.info()")
        assert lines.count("selftest: 22 passed, 0 failed") == 2, lines
        assert not any(line.startswith("in memory:") for line in lines)  # it gave up its buffers


def test_the_self_test_measures_memory_first_and_unloads_its_modules(board: Path) -> None:
    code = """
import gc, sys
from ugpt import board
def loaded():
    return [name for name in ("ugpt.checks", "ugpt.answers") if name in sys.modules]
def free_memory():
    print("measured with", loaded())
    return gc.mem_free()
board.free_memory = free_memory
print("failed", ugpt.selftest(), loaded(), hasattr(ugpt, "checks"), hasattr(ugpt, "answers"))
gc.collect()
before = gc.mem_alloc()
ugpt.selftest()
gc.collect()
print(gc.mem_alloc() - before)
"""
    lines = at_prompt(board, code)
    assert lines[0] == "measured with []"
    assert "failed 0 [] False False" in lines
    assert int(lines[-1]) <= 1024
