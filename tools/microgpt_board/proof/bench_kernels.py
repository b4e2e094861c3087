"""Count the instructions of every kernel in a training step, on emulated cores."""

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

from microgpt_board.emulation import cores
from microgpt_board.emulation.cores import Call, Core
from microgpt_board.errors import ToolError
from microgpt_board.image import boards, native
from microgpt_board.image.sizes import Settings, sizes_options

DOCUMENT = "charles"  # 8 positions
CORES = (cores.XTENSA, cores.CORTEX_M4)  # one of each architecture


class CallRecorder:
    """A backend that computes nothing and records the calls of the kernels."""

    NAME = "recorder"
    CONSTANTS = coefficients.COEFFICIENTS

    def __init__(self) -> None:
        self.calls: list[Call] = []

    @staticmethod
    def view(buffer: "array[float] | bytearray", offset: int, length: int) -> cores.Array:
        if isinstance(buffer, bytearray):
            return np.frombuffer(buffer, np.uint8)[offset : offset + length]
        return np.frombuffer(buffer, np.float32)[offset : offset + length]

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not hasattr(ops, name):
            raise AttributeError(name)
        return lambda *arguments: self.calls.append(Call(name, arguments))


def step_calls(document: str = DOCUMENT, sizes: Sizes | None = None) -> list[Call]:
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


def work(call: Call) -> tuple[int, str]:
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


def table(columns: dict[str, list[Call]]) -> str:
    """Return a Markdown table, a row a kernel; `columns` are the same calls on each core."""
    head = "".join(f" {name} | each |" for name in columns)
    rows = [f"| kernel | calls | work |{head}", "|---|--:|--:|" + "--:|--:|" * len(columns)]
    calls = next(iter(columns.values()))
    for kernel in dict.fromkeys(call.name for call in calls):
        of_kernel = [i for i, call in enumerate(calls) if call.name == kernel]
        amount = sum(work(calls[i])[0] for i in of_kernel)
        row = f"| {kernel} | {len(of_kernel)} | {amount:,} {work(calls[of_kernel[0]])[1]}s |"
        for column in columns.values():
            instructions = sum(column[i].instructions for i in of_kernel)
            row += f" {instructions:,} | {instructions / amount:.2f} |"
        rows.append(row)
    totals = [sum(call.instructions for call in column) for column in columns.values()]
    rows.append(f"| **step** | {len(calls)} | |" + "".join(f" **{n:,}** | |" for n in totals))
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

    They are counted on an emulated Xtensa core and an emulated Cortex-M4, which need
    qemu-system-misc and qemu-system-arm, and clang-22; a core that is missing has no column.

    Example: microgpt-board bench-kernels --document charles
    """
    try:
        model = Sizes(block_size=block_size, **sizes)
        Tokenizer().encode(document)
    except ValueError as error:
        raise ToolError(str(error)) from None
    boards.check(boards.find(boards.LARGEST), model)
    missing = {core.name: reason for core in CORES if (reason := cores.missing(core))}
    here = [core for core in CORES if core.name not in missing]
    if not here:
        raise ToolError("; ".join(dict.fromkeys(missing.values())))
    for name, reason in missing.items():
        click.echo(f"no column for the {name}: {reason}", err=True)
    columns = {f"{core.name} ({core.architecture})": count(core, document, model) for core in here}
    click.echo(
        f"Instructions of a training step of {parameter_count(model):,} parameters on "
        f"{document!r}, {native.compiler_version(here[0].compiler)}:\n"
    )
    click.echo(table(columns))


def count(core: Core, document: str, sizes: Sizes) -> list[Call]:
    """Return the calls of a step, made on `core`, with their instructions."""
    calls = step_calls(document, sizes)
    cores.run(core, native.compile_functions(core.architecture, core.compiler), calls)
    return calls
