"""The virtual board in a tab of a real Chromium: the worker, its calls and its events."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support.web.node import WEB
from tests.support.web.site import SiteServer
from tests.support.web.tab_board import KERNELS, log_of, same

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

SECONDS = 60
COMPUTING = 500  # ms of 1,000 steps and 20 names, at most
ATTEMPTS = 8  # at it: the machine may be busy with other tests
PAGE = """<!doctype html><title>A board</title><script type="module">
import { TabBoard } from "./tab_board.js";
window.made = async (options) => {
  const board = new TabBoard(options);
  const found = { board, lines: [], states: [], failures: [] };
  board.addEventListener("log", ({ detail }) => found.lines.push(...detail.lines));
  board.addEventListener("state", ({ detail }) => found.states.push(detail));
  board.addEventListener("failure", ({ detail }) => found.failures.push(detail.message));
  found.until = (wanted) => new Promise((resolve) => {
    const look = () => {
      const state = found.states.at(-1);
      if (!state || !wanted(state)) return;
      board.removeEventListener("state", look);
      resolve(state);
    };
    board.addEventListener("state", look);
    look();
  });
  found.end = () => found.until(({ phase }) => phase === "done" || phase === "failed");
  await board.ready;
  return found;
};
window.names = async (file) => new Uint8Array(await (await fetch(file)).arrayBuffer());
</script>"""

Tab = Callable[..., Any]


@pytest.fixture
def folder(site_copy: Path, lists: dict[str, bytes]) -> Path:
    """The site with a page that has nothing but virtual boards; a test may damage it."""
    (site_copy / "tab_board.js").write_bytes((WEB / "site" / "board" / "board.js").read_bytes())
    (site_copy / "board.html").write_text(PAGE)
    for name, data in lists.items():
        (site_copy / f"{name}.bin").write_bytes(data)
    return site_copy


@pytest.fixture
def tab(chromium: "Chrome", folder: Path) -> Iterator[Tab]:
    """Call it with JavaScript, the body of an async function; it returns what that returns."""
    server = SiteServer(folder)
    chromium.set_script_timeout(SECONDS)
    asked: list[str] = []

    def run(code: str, *args: object, query: str = "") -> Any:
        address = f"{server.url}board.html{query}"
        if asked[-1:] != [address]:
            chromium.get(address)
            asked.append(address)
        script = """
            const [code, args, done] = arguments;
            (async () => {
              while (!window.made) await new Promise((resolve) => setTimeout(resolve, 10));
              const body = new (async () => {}).constructor("args", code);
              return { value: await body(args) };
            })().catch((error) => ({ error: error.message })).then(done);"""
        answer = chromium.execute_async_script(script, code, args)
        assert "error" not in answer, answer["error"]
        return answer.get("value")

    yield run
    chromium.get("about:blank")
    server.close()


def test_1000_steps_in_half_a_second_with_the_log_of_the_virtual_board(
    tab: Tab, lists: dict[str, bytes]
) -> None:
    """In Node the log is that of the virtual board on the computer: test_virtual_board.py."""
    settings = {"seed": 42, "steps": 1000}
    code = """
        const { board, lines, states, end } = await made();
        const facts = await board.start({ settings: args[0], names: await names("names.bin") });
        await board.run(0);
        const state = await end();
        const samples = new Set(states.map((each) => each.sample + "")).size;
        return { lines, state, facts, samples };"""
    found = tab(code, settings)
    state = found["state"]
    assert list(same(found["lines"])) == list(
        same(log_of({"settings": settings, "names": lists["names"]}))
    )
    assert (state["phase"], state["step"], state["steps"]) == ("done", 1000, 1000)
    assert (state["kernels"], state["reason"]) == ("native", "self-check-passed")
    assert found["facts"]["documents"] == 32469
    assert found["samples"] > 1
    code = """
        const { board, states, end } = await made();
        const run = { settings: args[0], names: await names("names.bin") };
        const times = [];
        do {
          await board.start(run);
          await board.run(0);
          times.push((await end()).computing_ms);
        } while (times.at(-1) > args[1] && times.length < args[2]);
        return times;"""
    times = tab(code, settings, COMPUTING, ATTEMPTS)
    assert min(times) <= COMPUTING, times


def test_pause_step_look_go_on_and_start_again(tab: Tab, lists: dict[str, bytes]) -> None:
    run = {"seed": 5, "steps": 400, "log_every": 1}
    code = """
        const { board, lines, states, end, until } = await made();
        const run = { settings: args[0], names: await names("towns.bin") };
        await board.start(run);
        await board.run(0);
        const paused = [];
        for (const steps of [10, 200, 400]) {
          await until((state) => state.step >= steps);
          await board.pause();
          const before = states.at(-1);
          await board.look("Köln");
          await board.check(board.facts.sizes);
          const weights = await board.weights();
          await board.step();
          const after = states.at(-1);
          const changed = (await board.weights()).some((weight, i) => weight !== weights[i]);
          paused.push([before.running, before.phase, after.step - before.step, changed]);
          await board.run(steps === 10 ? 2000 : 0);
        }
        await end();
        const first = lines.splice(0);
        await board.start(run);
        await board.run(0);
        await until((state) => state.step > 20);
        await board.start(run); // in the middle of a run
        const begin = lines.findLastIndex((line) => line.startsWith("# microgpt-esp32"));
        await board.run(0);
        await end();
        return { paused, first, second: lines.slice(begin) };"""
    found = tab(code, run)
    expected = list(same(log_of({"settings": run, "names": lists["towns"]})))
    assert found["paused"][0][2:] == [1, True]
    assert all(running is False for running, *_ in found["paused"])
    assert list(same(found["first"])) == expected
    assert list(same(found["second"])) == expected


def test_a_speed_to_watch(tab: Tab) -> None:
    code = """
        const { board, lines, states, end } = await made();
        const run = { settings: { steps: 10, log_every: 1 }, names: await names("accents.bin") };
        await board.start(run);
        const begin = performance.now();
        await board.run(25); // slower than the reports
        await end();
        const times = performance.now() - begin;
        return { times, steps: states.map((state) => state.step), lines };"""
    found = tab(code)
    assert found["times"] >= 1000 * (10 + 20 - 1) / 25  # names come at this speed too
    assert len(set(found["steps"])) > 5  # of 11, if the machine is so busy that it must catch up
    assert len([line for line in found["lines"] if line.startswith("name:")]) == 20


@pytest.mark.parametrize(
    ("kernels", "query", "reason"),
    [
        (None, "", "no-kernels.wasm"),
        (KERNELS[:-1], "", "damaged-kernels.wasm"),
        (KERNELS, "?kernels=portable", "no-kernels.wasm"),
    ],
)
def test_portable_kernels(
    kernels: bytes | None, query: str, reason: str, tab: Tab, folder: Path
) -> None:
    if kernels is None:
        (folder / "kernels.wasm").unlink()
    else:
        (folder / "kernels.wasm").write_bytes(kernels)
    code = """
        const { board, lines, end } = await made();
        await board.start({ settings: { steps: 2 }, names: await names("names.bin") });
        await board.run(0);
        return { lines, state: await end() };"""
    found = tab(code, query=query)
    assert f"kernels:portable reason:{reason} " in found["lines"][0]
    state = found["state"]
    assert (state["phase"], state["kernels"], state["reason"]) == ("done", "portable", reason)


def test_what_cannot_be_done_is_said_and_nothing_is_lost(tab: Tab) -> None:
    code = """
        const { board, lines, states, failures, end } = await made();
        const names_bin = await names("names.bin");
        const said = [];
        const attempt = async (promise) => {
          said.push(await promise.then(() => null, (error) => error.message));
        };
        await attempt(board.run(0));
        await attempt(board.look("emma"));
        await attempt(board.start({ settings: { n_embd: 17 }, names: names_bin }));
        said.push(states.at(-1).phase, lines.at(-1));
        await attempt(board.start({ settings: {}, names: new Uint8Array(5) }));
        await attempt(board.check({ ...args[0], n_head: 3 }));
        await board.start({ settings: { steps: 5 }, names: names_bin });
        await attempt(board.look("zoé"));
        await board.run(0);
        await end();
        said.push(states.at(-1).phase);
        await attempt(board.run(0));
        const weights = new Float32Array(board.facts.parameters).fill(NaN);
        await board.start({ settings: { steps: 5 }, names: names_bin, weights });
        await board.run(0);
        await end();
        said.push(states.at(-1).phase, failures.at(-1), lines.at(-1));
        return said;"""
    sizes = {"vocab_size": 27, "n_embd": 16, "n_head": 4, "n_layer": 1, "block_size": 16}
    found = tab(code, {**sizes, "tie_lm_head": False, "input_rmsnorm": True})
    uneven = "n_embd {} is not divisible by n_head {}".format
    damaged = "the loss of step 0 is not a number: the weights are unusable and not saved; set"
    assert found[:2] == ["no run has been started"] * 2
    assert found[2:5] == [uneven(17, 4), "failed", f"# error: {uneven(17, 4)}"]
    assert found[5] == "names.bin is cut short: write it again"
    assert found[6] == uneven(16, 3)
    assert found[7] == "'é' is not in the vocabulary"
    assert found[8:11] == ["done", None, "failed"]
    assert found[11].startswith(damaged)
    assert found[12] == f"# error: {found[11]}"


def test_without_the_program_the_board_says_so(tab: Tab, folder: Path) -> None:
    (folder / "program.json").unlink()
    code = "return made().then(() => null, (error) => error.message)"
    assert tab(code) == "program.json cannot be loaded (404): load the page again"
    (folder / "program.json").write_text("<!doctype html>")
    assert tab(code) == "program.json is damaged: load the page again"


@pytest.mark.parametrize("content", [b"", b"<!doctype html>", b"\0asm\1\0\0\0\1"])
def test_without_micropython_the_board_says_so(tab: Tab, folder: Path, content: bytes) -> None:
    (folder / "micropython.wasm").unlink()  # it can be a hard link
    (folder / "micropython.wasm").write_bytes(content)
    code = "return made().then(() => null, (error) => error.message)"
    assert str(tab(code)).startswith("MicroPython cannot be loaded: load the page again (")


def test_a_model_comes_back_to_the_bit(tab: Tab) -> None:
    code = """
        const { board, end } = await made();
        const run = { settings: { steps: 30 }, names: await names("names.bin") };
        await board.start(run);
        await board.run(0);
        await end();
        const weights = await board.weights();
        await board.start({ ...run, weights });
        return [[...weights], [...(await board.weights())], weights.length];"""
    weights, again, count = tab(code)
    assert count == 4192
    assert np.array_equal(weights, again)
    assert np.std(weights) > 0.08


def test_it_answers_as_soon_after_many_changes_of_its_speed(tab: Tab) -> None:
    code = """
        const { board } = await made();
        const settings = { seed: 1, steps: 1000000 };
        await board.start({ settings, names: await names("names.bin") });
        for (let i = 0; i < 200; i++) await board.run(0);
        const begin = performance.now();
        for (let i = 0; i < 5; i++) await board.look("emma");
        return performance.now() - begin;"""
    assert tab(code) < 1500  # ms; 12,000 if each of them still took its turn


def test_a_board_that_has_ended_answers_no_call_and_leaves_none_waiting(tab: Tab) -> None:
    code = """
        const { board } = await made();
        await board.start({ settings: {}, names: await names("names.bin") });
        const said = (error) => error.message;
        const waiting = board.weights().catch(said);
        board.terminate();
        return [await waiting, await board.look("emma").catch(said)];"""
    assert tab(code) == ["this run has ended", "this run has ended"]


def test_the_weights_are_of_the_step_that_the_page_knows(tab: Tab) -> None:
    code = """
        const { board, states } = await made();
        const seed = { seed: 3, steps: 5000 };
        await board.start({ settings: seed, names: await names("names.bin") });
        board.run(0);
        await new Promise((heard) => board.addEventListener("state", heard, { once: true }));
        const weights = await board.weights();
        const { step } = states.at(-1);
        board.pause();
        await board.start({ settings: seed, names: await names("names.bin") });
        for (let i = 0; i < step; i++) await board.step();
        const again = await board.weights();
        return [step > 0, weights.every((weight, i) => weight === again[i])];"""
    assert tab(code) == [True, True]
