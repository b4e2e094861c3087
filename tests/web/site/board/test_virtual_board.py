"""The virtual board in a browser's tab, in Node: against the virtual board on the computer."""

from binascii import crc32
from pathlib import Path
from typing import Any

import pytest
from microgpt_board.emulation.micropython import build_virtual, run_board
from microgpt_board.errors import ToolError

from tests.support.kernels import native_kernels
from tests.support.web.tab_board import KERNELS, in_node, log_of, parts, same

ROOT = Path(__file__).parents[4]
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
def computer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flash of a virtual board on the computer."""
    folder = tmp_path_factory.mktemp("computer")
    try:
        build_virtual(folder, None)
    except ToolError as error:
        pytest.skip(str(error))
    native_kernels(folder)
    return folder


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
    kernels = native_kernels(tmp_path)
    kernels.unlink()
    (tmp_path / "names.bin").write_bytes(lists["names"])
    expected = "\n".join(run_board(tmp_path, settings)).replace(kernels.name, "kernels.wasm")
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
    """A large model gets a MicroPython with a larger heap; each run is as if it were the first.

    To draw 200,000 weights leaves 46 MB of garbage, which is collected meanwhile.
    """
    small = {"settings": {"steps": 30}, "names": lists["names"]}
    large = {"settings": {"steps": 2, "n_embd": 128}, "names": lists["names"]}
    code = """
        const [parts, runs] = args;
        const { board, lines } = await made(parts);
        const heaps = [];
        for (const run of runs) {
            await board.start(run);
            exhaust(board);
            heaps.push([board.machine.heap, board.machine.memory.buffer.byteLength]);
        }
        return [lines, heaps];"""
    lines, heaps = in_node(code, parts(), [small, small, large, small])
    assert heaps[0] == heaps[1]
    assert heaps[0][0] < heaps[2][0]
    assert heaps[2][1] == heaps[0][1]  # what the module has from the start
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
    run = {"settings": {}, "names": lists["names"]}
    found = log_of(run, {"slices": 0}, kernels)
    assert f"kernels:portable reason:{reason} " in found[0]


def test_portable_kernels_if_a_kernel_is_wrong(lists: dict[str, bytes]) -> None:
    found = log_of({"settings": {}, "names": lists["names"]}, {"slices": 0}, wrong())
    assert "kernels:portable reason:self-check-failed " in found[0]
