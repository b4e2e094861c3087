"""Check this board: `import ugpt.selftest` prints a line each, PASS or FAIL, and a summary."""

import gc
import sys

from . import backend, board
from .adam import Adam
from .model import Model


def allocate(kernels):
    """Return a model and its optimizer, None and None if there is no room for both."""
    try:
        model = Model(kernels=kernels)
        return model, Adam(model.params, model.grads, kernels)
    except MemoryError:
        return None, None


kernels, reason = backend.choose()
gc.collect()
free = board.free_memory()
app = sys.modules.get(__name__.replace("selftest", "app"))
# First of all, the checks would take the room that training has; a run in memory has it already.
made = (app and app.give_up()) or allocate(kernels)

from .checks import run  # noqa: E402

failed = run(kernels, reason, made[0], made[1], free)
made = None  # or a second one might find no room
del sys.modules[__name__]  # or a second import would do nothing
