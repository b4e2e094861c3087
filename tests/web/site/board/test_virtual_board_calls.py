"""What the page asks of the virtual board in its tab: weights, looks, sizes, failures; in Node."""

import json
from typing import Any

import microgpt
import numpy as np
import pytest
from ugpt import memory
from ugpt.layout import Sizes, parameter_table

from tests.support.web.node import JsError
from tests.support.web.tab_board import KERNELS, in_node, parts

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
    board = {"name": "an ESP32", "free": 144000, "piece": 107784}
    usual, wide, wider, uneven, huge = in_node(code, parts(), sizes, [board])
    assert [tuple(each) for each in usual.pop("table")] == [
        (name, list(shape), offset) for name, shape, offset in parameter_table(Sizes())
    ]
    assert usual == {
        "sizes": sizes[0],
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
