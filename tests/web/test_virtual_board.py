"""The virtual board in a browser's tab, in Node: against the virtual board on the computer."""

import json
import re
from binascii import crc32
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import microgpt
import numpy as np
import pytest
from microgpt_board.emulation.micropython import build_virtual, run_board
from microgpt_board.errors import ToolError
from microgpt_board.image import names_bin, native
from microgpt_board.image.names_bin import Source
from microgpt_board.site import facts
from ugpt import memory
from ugpt.layout import Sizes

from tests.support.node import JsError, evaluate

ROOT = Path(__file__).parents[2]
KERNELS = native.PREBUILT_WASM.read_bytes()
HELPERS = "../../tests/web/board_in_node.mjs"
ACCENTS = ["Zoë", "Émile", "Çağla", "Łukasz", "Ångström", "naïve", "Ødegård", "日本", "ß"]
USUAL = {"seed": 42, "steps": 300}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "the defaults": ("names", {"seed": 42, "steps": 1000}),
    "other sizes": ("names", {**USUAL, "n_embd": 24, "n_head": 3, "n_layer": 2, "block_size": 9}),
    "tied, no input norm": ("names", {**USUAL, "tie_lm_head": True, "input_rmsnorm": False}),
    "towns": ("towns", {"seed": 7, "steps": 200, "log_every": 7, "temperature": 0.8}),
    "accents": ("accents", {"seed": 1, "steps": 100, "temperature": 1.0}),
    "greedy, invalid settings": ("names", {**USUAL, "temperature": 0, "lr": 9, "nonsense": 1}),
}


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """names.bin of each list of documents."""
    folder = tmp_path_factory.mktemp("lists")
    (folder / "accents.txt").write_text("\n".join(ACCENTS), encoding="utf-8")
    sources = {"accents": folder / "accents.txt"}
    sources |= {name: ROOT / "data" / f"{name}.txt" for name in ("names", "towns")}
    for name, path in sources.items():
        names_bin.read(Source(path)).write(folder / name)
    return {name: (folder / name).read_bytes() for name in sources}


@pytest.fixture(scope="module")
def computer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flash of a virtual board on the computer."""
    folder = tmp_path_factory.mktemp("computer")
    try:
        build_virtual(folder, None)
    except ToolError as error:
        pytest.skip(str(error))
    if not (folder / "ugpt" / "kernels.mpy").exists():
        pytest.skip("no native kernels for this computer: on Linux x86-64 they need gcc")
    return folder


def same(lines: list[str]) -> Iterator[str]:
    """Yield the lines without what is not the same on two machines: times, free memory."""
    for line in lines:
        yield re.sub(r"(ms|free):\S+", r"\1:", re.sub(r"of [\d,]+ free", "of free", line))


def parts(kernels: bytes | None = KERNELS) -> dict[str, Any]:
    return {"program": facts.program(), "kernels": kernels}


def in_node(code: str, *args: object) -> Any:
    """Run JavaScript, the body of an async function, with `args` and the helpers in scope."""
    head = f"const {{ made, exhaust, log }} = await load({HELPERS!r});\n"
    return evaluate(head + code, *args)


def log_of(
    run: dict[str, Any], how: dict[str, Any] | None = None, kernels: bytes | None = KERNELS
) -> list[str]:
    lines: list[str] = in_node("return log(...args)", parts(kernels), run, how or {})
    return lines


@pytest.mark.parametrize("case", CASES)
def test_log_and_names_are_those_of_the_virtual_board(
    case: str, lists: dict[str, bytes], computer: Path
) -> None:
    name, settings = CASES[case]
    (computer / "names.bin").write_bytes(lists[name])
    expected = list(run_board(computer, settings))
    found = log_of({"settings": settings, "names": lists[name]}, {"ms": 12})
    assert "kernels:native reason:self-check-passed" in found[0]
    assert len([line for line in found if line.startswith("name:")]) == 20
    assert list(same(found)) == list(same(expected))


def test_the_portable_kernels_give_the_log_of_the_portable_ones(
    lists: dict[str, bytes], computer: Path, tmp_path: Path
) -> None:
    settings = {"seed": 3, "steps": 5, "log_every": 1}
    build_virtual(tmp_path, None)
    (tmp_path / "ugpt" / "kernels.mpy").unlink()
    (tmp_path / "names.bin").write_bytes(lists["names"])
    expected = "\n".join(run_board(tmp_path, settings)).replace("kernels.mpy", "kernels.wasm")
    found = log_of({"settings": settings, "names": lists["names"]}, kernels=None)
    assert "kernels:portable reason:no-kernels.wasm" in found[0]
    assert list(same(found)) == list(same(expected.split("\n")))


def test_a_run_is_unchanged_by_pauses_looks_samples_and_growth(lists: dict[str, bytes]) -> None:
    """When MicroPython's memory grows, JavaScript's views of it have no bytes any more."""
    run = {"settings": {"seed": 5, "steps": 60, "log_every": 1}, "names": lists["names"]}
    code = """
        const [parts, run] = args;
        const { board, lines } = await made(parts);
        await board.start(run);
        const size = () => board.machine.memory.buffer.byteLength;
        const before = size();
        exhaust(board, { count: 1, between(slice) {
            board.look("emma");
            board.sample(1);
            board.weights();
            board.check(board.facts.sizes, []);
            if (slice !== 30) return;
            board.machine.micropython.runPython("kept = [float(i) for i in range(10 ** 6)]");
        } });
        return [lines, size() - before];"""
    lines, grown = in_node(code, parts(), run)
    assert grown > 2**24
    assert list(same(lines)) == list(same(log_of(run)))


def test_start_again_with_other_sizes_and_back(lists: dict[str, bytes]) -> None:
    """A large model gets a MicroPython with a larger heap; each run is as if it were the first."""
    small = {"settings": {"steps": 30}, "names": lists["names"]}
    large = {"settings": {"steps": 2, "n_embd": 160, "n_layer": 2}, "names": lists["names"]}
    code = """
        const [parts, runs] = args;
        const { board, lines } = await made(parts);
        const heaps = [];
        for (const run of runs) {
            await board.start(run);
            exhaust(board);
            heaps.push(board.machine.heap);
        }
        return [lines, heaps];"""
    lines, heaps = in_node(code, parts(), [small, small, large, small])
    assert heaps[0] == heaps[1] == heaps[3] < heaps[2]
    logs = [list(same(log_of(run))) for run in (small, large)]
    assert list(same(lines)) == logs[0] + logs[0] + logs[1] + logs[0]


def test_a_seed_of_0_is_taken_from_the_browser(lists: dict[str, bytes]) -> None:
    run = {"settings": {"seed": 0, "steps": 1}, "names": lists["names"]}
    code = "const { board } = await made(args[0]);"
    code += "return [(await board.start(args[1])).seed, (await board.start(args[1])).seed]"
    first, second = in_node(code, parts(), run)
    assert first != second
    assert 0 < first < 2**32


# --- the choice of kernels


def sealed(data: bytes) -> bytes:
    return data + crc32(data).to_bytes(4, "little")


def wrong() -> bytes:
    """kernels.wasm whose first addition of floats is a subtraction."""
    code = """
        const [data] = args;
        const add = 0x92, subtract = 0x93, get = 0x20, tee = 0x22;  // f32.add after local.get
        for (let i = 2; i < data.length; i++) {
            if (data[i] !== add || data[i - 2] !== get) continue;
            data[i] = subtract;
            return data;
        }"""
    changed: bytes = in_node(code, KERNELS[:-4])
    return sealed(changed)


@pytest.mark.parametrize(
    ("kernels", "reason"),
    [
        (b"", "damaged-kernels.wasm"),
        (KERNELS[:-1], "damaged-kernels.wasm"),
        (KERNELS[:5000], "damaged-kernels.wasm"),
        (KERNELS[:7000] + bytes((KERNELS[7000] ^ 1,)) + KERNELS[7001:], "damaged-kernels.wasm"),
        (b"<!doctype html><title>404</title>", "damaged-kernels.wasm"),
        (sealed(b"no module"), "cannot-be-loaded"),
        (sealed(b"\0asm\1\0\0\0\0\5\4ugpt"), "cannot-be-loaded"),
        (None, "no-kernels.wasm"),
    ],
)
def test_portable_kernels_where_kernels_wasm_cannot_be_used(
    kernels: bytes | None, reason: str, lists: dict[str, bytes]
) -> None:
    run = {"settings": {"steps": 1}, "names": lists["names"]}
    found = log_of(run, kernels=kernels)
    assert f"kernels:portable reason:{reason} " in found[0]
    assert found[-1].startswith("name:")


def test_portable_kernels_if_a_kernel_is_wrong(lists: dict[str, bytes]) -> None:
    found = log_of({"settings": {"steps": 1}, "names": lists["names"]}, kernels=wrong())
    assert "kernels:portable reason:self-check-failed " in found[0]


# --- weights


def test_weights_in_place_of_the_initial_ones(lists: dict[str, bytes]) -> None:
    code = """
        const [parts, run] = args;
        const { board, lines } = await made(parts);
        await board.start(run);
        exhaust(board);
        const weights = board.weights();
        lines.length = 0;
        await board.start({ ...run, weights });
        const replaced = board.weights();
        exhaust(board, { count: 1, slices: 1 });
        return [weights, replaced, board.weights(), lines];"""
    run = {"settings": {"steps": 40}, "names": lists["names"]}
    weights, replaced, later, lines = in_node(code, parts(), run)
    assert np.array_equal(weights, replaced)
    assert not np.array_equal(weights, later)
    assert lines[2] == "# the initial weights are those of the loaded model, not of the seed"
    assert float(lines[3].split()[1].removeprefix("loss:")) < 3  # 3.3 with those of the seed


def test_weights_of_another_model_are_refused(lists: dict[str, bytes]) -> None:
    code = "const { board } = await made(args[0]); await board.start(args[1])"
    weights = np.zeros(9, np.float32)
    run = {"settings": {"steps": 1}, "names": lists["names"], "weights": weights}
    with pytest.raises(JsError, match="^the loaded model has 9 parameters, .* sizes 4192$"):
        in_node(code, parts(), run)


# --- what the page asks


def model_of(facts: dict[str, Any], weights: np.ndarray) -> microgpt.Model:
    sizes = {key: value for key, value in facts["sizes"].items() if key != "vocab_size"}
    model = microgpt.create(microgpt.ModelConfig(**sizes), charset=facts["charset"], seed=1)
    for name, (rows, columns), offset in facts["table"]:
        matrix = weights[offset : offset + rows * columns].reshape(rows, columns)
        model.weights[name][:] = matrix
    return model


@pytest.mark.parametrize("kernels", [KERNELS, None])
def test_a_look_is_what_the_engine_computes(kernels: bytes | None, lists: dict[str, bytes]) -> None:
    code = """
        const [parts, run, text, steps] = args;
        const { board } = await made(parts);
        const facts = await board.start(run);
        exhaust(board, { count: steps, slices: 1 });
        board.look("weitmehr");
        return { ...board.look(text), facts, weights: board.weights() };"""
    settings = {"steps": 100, "n_layer": 2}
    run = {"settings": settings, "names": lists["towns"]}
    found = in_node(code, parts(kernels), run, "Köln", 50 if kernels else 2)
    sizes = found["facts"]["sizes"]
    n, layers, heads = found["n"], sizes["n_layer"], sizes["n_head"]
    assert (n, found["text"], found["characters"]) == (5, "Köln", ["·", "K", "ö", "l", "n"])
    model = model_of(found["facts"], found["weights"])
    tokens = model.tokenizer.encode("Köln")
    assert found["tokens"] == tokens[:-1]
    assert abs(found["losses"].mean() - model.loss_and_grads(tokens)[0]) < 1e-5
    attention = found["attention"].reshape(layers, heads, n, n)
    assert np.allclose(attention.sum(axis=-1), 1, atol=1e-5)
    assert (np.triu(attention, 1) == 0).all()
    assert np.array_equal(found["embeddings"], found["weights"][: len(found["embeddings"])])


def test_a_look_at_a_text_that_is_too_long_or_has_an_unknown_character(
    lists: dict[str, bytes],
) -> None:
    code = """
        const [parts, run, texts] = args;
        const { board } = await made(parts);
        await board.start(run);
        return texts.map((text) => {
            try {
                const { text: cut, n, losses } = board.look(text);
                return [cut, n, losses.every(Number.isFinite)];
            } catch (error) {
                return error.message;
            }
        });"""
    run = {"settings": {"steps": 1}, "names": lists["names"]}
    found = in_node(code, parts(), run, ["", "a" * 99, "zoé", "a b"])
    assert found[:2] == [["", 1, True], ["a" * 15, 16, True]]
    assert found[2:] == ["'é' is not in the vocabulary", "' ' is not in the vocabulary"]


def test_what_fits_where() -> None:
    code = """
        const [parts, sizes, memories] = args;
        const { board } = await made(parts);
        return sizes.map((each) => {
            try {
                return board.check(each, memories);
            } catch (error) {
                return error.message;
            }
        });"""
    sizes = [{**vars(Sizes()), "n_embd": n_embd} for n_embd in (16, 64, 1024, 17, 4096)]
    names = ("vocab_size", "n_embd", "n_head", "n_layer", "block_size")
    names += ("tie_lm_head", "input_rmsnorm")
    sizes = [{name: each[name] for name in names} for each in sizes]
    board = {"name": "an ESP32", "free": 144176, "piece": 107784}
    usual, wide, wider, uneven, huge = in_node(code, parts(), sizes, [board])
    assert usual == {
        "parameters": 4192,
        "needed": memory.needed(Sizes()),
        "refusals": {"an ESP32": ""},
        "tab": "",
    }
    expected = memory.refusal(Sizes(**sizes[1]), board["free"], board["piece"])
    assert (wide["refusals"]["an ESP32"], wide["tab"]) == (expected, "")
    assert wider["tab"] == "" or "are free; what fits: N_EMBD=" in wider["tab"]
    assert uneven == "n_embd 17 is not divisible by n_head 4"
    assert huge == "n_embd must be a whole number from 1 to 1024"


def test_why_a_run_cannot_start_or_go_on(lists: dict[str, bytes]) -> None:
    """The log has the board's line, the page gets the reason, and another run can follow."""
    code = """
        const [parts, runs] = args;
        const { board, lines } = await made(parts);
        const found = [];
        for (const run of runs) {
            lines.length = 0;
            try {
                await board.start(run);
                const state = exhaust(board);
                found.push([state.failure ?? state.phase, lines.at(-1)]);
            } catch (error) {
                found.push([error.message, lines.at(-1)]);
            }
        }
        return found;"""
    names = lists["names"]
    good = {"settings": {"steps": 3}, "names": names}
    flipped = names[:-1] + bytes((names[-1] ^ 1,))
    infinite = np.full(4192, np.inf, np.float32)
    bad = [
        {"settings": {"n_embd": 17}, "names": names},
        {"settings": {"n_embd": 1024, "n_layer": 8}, "names": names},
        {"settings": {}, "names": b""},
        {"settings": {}, "names": flipped},
        {**good, "weights": infinite},
    ]
    runs = [run for each in bad for run in (each, good)]
    found = in_node(code, parts(), runs)
    assert all(phase == "done" for phase, _ in found[1::2]), json.dumps(found)
    reasons = found[::2]
    assert all(line == f"# error: {reason}" for reason, line in reasons)
    beginnings = (
        "n_embd 17 is not divisible by n_head 4",
        "100,734,976 parameters",
        "names.bin is cut short",
        "names.bin is damaged (CRC32 differs)",
        "the loss of step 0 is not a number",
    )
    assert len(reasons) == len(beginnings)
    for (reason, _), beginning in zip(reasons, beginnings, strict=True):
        assert reason.startswith(beginning)
