"""Count the instructions of every kernel in a training step, on an emulated Xtensa core.

python -m microgpt_board.proof.bench_kernels
"""

from collections.abc import Callable

import numpy as np
from ugpt import coefficients, ops
from ugpt.adam import Adam
from ugpt.model import Model
from ugpt.rng import Rng
from ugpt.tokenizer import encode

from microgpt_board.emulation import xtensa as emulator
from microgpt_board.errors import ToolError, parser_of, run
from microgpt_board.image import native

DOCUMENT = "charles"  # 8 positions


class Recorder:
    """A backend that computes nothing and keeps the calls: what a step asks of the kernels."""

    NAME = "recorder"
    CONSTANTS = coefficients.COEFFICIENTS

    def __init__(self) -> None:
        self.calls: list[emulator.Call] = []

    @staticmethod
    def view(buffer, offset: int, length: int) -> np.ndarray:
        kind = np.uint8 if isinstance(buffer, bytearray) else np.float32
        return np.frombuffer(buffer, kind)[offset : offset + length]

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not hasattr(ops, name):
            raise AttributeError(name)
        return lambda *arguments: self.calls.append(emulator.Call(name, arguments))


def step_calls(document: str = DOCUMENT) -> list[emulator.Call]:
    """Return the kernel calls of one training step on `document`, in their order."""
    recorder = Recorder()
    model = Model(kernels=recorder)
    model.initialise(Rng(42))
    adam = Adam(model.params, model.grads, recorder)
    model.loss_and_grads(model.set_tokens(encode(document)))
    adam.step(0, 0.01)
    return recorder.calls


def work(call: emulator.Call) -> tuple[int, str]:
    """Return how much there is to do in a call, and the unit."""
    sizes = [a for a in call.arguments if isinstance(a, int)]
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
        n, width, vocab_size, block_size = sizes
        return (n + vocab_size + block_size) * width, "element"
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


def main() -> None:
    parser = parser_of("bench_kernels", __doc__)
    parser.add_argument("--document", default=DOCUMENT, help=f"letters a to z ({DOCUMENT})")
    arguments = parser.parse_args()
    missing = emulator.missing()
    if missing:
        raise ToolError(missing)
    command = native.find_compiler("xtensawin")
    calls = step_calls(arguments.document)
    emulator.run(native.compile_functions("xtensawin", command), calls)
    print(f"A training step on {arguments.document!r}, {native.compiler_version(command)}:\n")
    print(table(calls))


if __name__ == "__main__":
    run(main)
