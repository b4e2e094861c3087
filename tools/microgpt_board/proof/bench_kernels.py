"""Count the instructions of every kernel in a training step, on an emulated Xtensa core."""

from array import array
from collections.abc import Callable

import click
import numpy as np
from ugpt import coefficients, ops
from ugpt.adam import Adam
from ugpt.dataset import MAX_RECORD_SIZE
from ugpt.layout import Sizes, parameter_count
from ugpt.model import Model
from ugpt.rng import Rng
from ugpt.tokenizer import Tokenizer

from microgpt_board.emulation import xtensa as emulator
from microgpt_board.errors import ToolError
from microgpt_board.image import boards, native
from microgpt_board.image.sizes import Settings, sizes_options

DOCUMENT = "charles"  # 8 positions


class CallRecorder:
    """A backend that computes nothing and records the calls of the kernels."""

    NAME = "recorder"
    CONSTANTS = coefficients.COEFFICIENTS

    def __init__(self) -> None:
        self.calls: list[emulator.Call] = []

    @staticmethod
    def view(buffer: "array[float] | bytearray", offset: int, length: int) -> emulator.Array:
        if isinstance(buffer, bytearray):
            return np.frombuffer(buffer, np.uint8)[offset : offset + length]
        return np.frombuffer(buffer, np.float32)[offset : offset + length]

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not hasattr(ops, name):
            raise AttributeError(name)
        return lambda *arguments: self.calls.append(emulator.Call(name, arguments))


def step_calls(document: str = DOCUMENT, sizes: Sizes | None = None) -> list[emulator.Call]:
    """Return the kernel calls of one training step on `document`, in their order."""
    recorder = CallRecorder()
    model = Model(sizes, recorder)
    model.initialise(Rng(42))
    adam = Adam(model)
    n = model.set_tokens(Tokenizer().encode(document))
    model.loss_of(n)
    adam.begin(0, 0.01)
    model.backward(n, adam.update)
    return recorder.calls


def work(call: emulator.Call) -> tuple[int, str]:
    """Return the amount of work in a call, and its unit."""
    sizes = [a for a in call.arguments if isinstance(a, int)]
    if call.name == "linear_backward_w":
        n, _, n_in, _, rows = sizes
        return n * rows * n_in, "multiply-add"
    if call.name.startswith("linear"):
        n, n_out, n_in = sizes
        return n * n_out * n_in, "multiply-add"
    if call.name.startswith("attention"):
        *_, n, n_head, head_dim = sizes
        products = 2 if call.name == "attention" else 4  # for each pair of positions and channel
        return products * n * (n + 1) // 2 * n_head * head_dim, "multiply-add"
    if call.name == "adam":
        return sizes[0], "parameter"
    if call.name == "embed_backward":
        n, width, _, _ = sizes
        return n * width, "element"
    if call.name == "clear":
        begin, end = sizes
        return end - begin, "element"
    return int(np.prod(sizes)), "element"


def table(calls: list[emulator.Call]) -> str:
    """Return a Markdown table, a row a kernel."""
    rows = ["| kernel | calls | instructions | work | instructions each |", "|---|--:|--:|--:|--:|"]
    for name in dict.fromkeys(call.name for call in calls):
        of_kernel = [call for call in calls if call.name == name]
        instructions = sum(call.instructions for call in of_kernel)
        amount = sum(work(call)[0] for call in of_kernel)
        unit = work(of_kernel[0])[1]
        rows.append(
            f"| {name} | {len(of_kernel)} | {instructions:,} | {amount:,} {unit}s "
            f"| {instructions / amount:.2f} |"
        )
    total = sum(call.instructions for call in calls)
    rows.append(f"| **step** | {len(calls)} | **{total:,}** | | |")
    return "\n".join(rows)


@click.command("bench-kernels")
@click.option("--document", default=DOCUMENT, show_default=True, help="Letters a to z.")
@sizes_options
@click.option(
    "--block-size",
    type=click.IntRange(1, MAX_RECORD_SIZE),
    default=Sizes().block_size,
    show_default=True,
    help="Positions of the model.",
)
def bench_kernels_command(document: str, sizes: Settings, block_size: int) -> None:
    """Count the instructions of each kernel in a step.

    They are counted on an emulated Xtensa core, which needs qemu-system-misc and clang-22.

    Example: microgpt-board bench-kernels --document charles
    """
    try:
        model = Sizes(block_size=block_size, **sizes)
        Tokenizer().encode(document)
    except ValueError as error:
        raise ToolError(str(error)) from None
    boards.check(boards.find(boards.NAMES[-1]), model)  # the one with the most memory
    missing = emulator.missing()
    if missing:
        raise ToolError(missing)
    command = native.TARGETS["xtensawin"].compilers[0]  # `missing` asks for this one
    calls = step_calls(document, model)
    emulator.run(native.compile_functions("xtensawin", command), calls)
    click.echo(
        f"A training step of {parameter_count(model):,} parameters on {document!r}, "
        f"{native.compiler_version(command)}:\n"
    )
    click.echo(table(calls))
