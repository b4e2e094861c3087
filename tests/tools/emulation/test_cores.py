"""The emulated cores count exactly, and tell of a function that does what a kernel must not."""

from pathlib import Path

import numpy as np
import pytest
from microgpt_board.emulation import cores
from microgpt_board.emulation.cores import Call, Core
from microgpt_board.errors import ToolError
from microgpt_board.image import native

# The call and the return of a function that only returns: Xtensa's has an `entry` too.
EMPTY = {"xtensawin": 4, "armv7emsp": 3}


@pytest.fixture(params=cores.CORES, ids=lambda core: core.name)
def core(request: pytest.FixtureRequest) -> Core:
    found: Core = request.param
    if missing := cores.missing(found):
        pytest.skip(missing)
    return found


def run(core: Core, *calls: Call) -> None:
    source = Path(__file__).with_name("behaviour.c")
    cores.run(core, native.compile_functions(core.architecture, core.compiler, source), calls)


def test_instructions_are_counted_exactly(core: Core) -> None:
    calls = [Call(name, ()) for name in ("nops_0", "nops_1000", "nops_0")]
    run(core, *calls)
    empty = EMPTY[core.architecture]
    assert [call.instructions for call in calls] == [empty, empty + 1000, empty]


def test_arrays_are_changed_in_place_and_nothing_around_them(core: Core) -> None:
    array = np.zeros(4, np.uint32)
    run(core, Call("store", (array, 3)), Call("store", (array[1:], 0)))
    assert (array == (0, 1, 0, 1)).all()
    for index in (-1, 4):
        with pytest.raises(ToolError, match="^a kernel wrote outside its arrays$"):
            run(core, Call("store", (array, index)))


def test_an_exception_is_an_error(core: Core) -> None:
    number = {"xtensawin": 0, "armv7emsp": 6}[core.architecture]  # of an illegal instruction
    with pytest.raises(ToolError, match=f"^a kernel raised exception {number}$"):
        run(core, Call("stop", ()))


def test_a_kernel_that_does_not_return_is_an_error(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "TIMEOUT_S", 0.2)
    with pytest.raises(ToolError, match=r"^a kernel did not return within 0\.2 s$"):
        run(core, Call("forever", ()))


@pytest.mark.parametrize("name", ["lose_s16", "lose_r11"])
def test_a_kernel_keeps_its_callers_registers(core: Core, name: str) -> None:
    if core.architecture != "armv7emsp":
        return  # on Xtensa the core itself keeps them
    with pytest.raises(ToolError, match="^a kernel did not keep its caller's registers$"):
        run(core, Call(name, ()))


def test_more_than_a_core_can_take_is_said(core: Core) -> None:
    array = np.zeros(core.size // 4, np.float32)
    with pytest.raises(ToolError, match=f"are too many for the emulated {core.name}$"):
        run(core, Call("store", (array, 0)))
    with pytest.raises(ToolError, match="^5000 calls are too many for one run$"):
        run(core, *[Call("nops_0", ())] * 5000)
