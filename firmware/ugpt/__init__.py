"""A GPT that trains itself on a microcontroller, in MicroPython and, unchanged, in CPython.

At the board's prompt: `import ugpt`, then `ugpt.train()`, `ugpt.generate()`, `ugpt.save()`,
`ugpt.load()`, `ugpt.info()`, `ugpt.reset()` or `ugpt.selftest()`. Each function imports what it
needs when it is called. (No module may have the name of one of them: importing the module would
replace the function.)
"""

from . import board
from .version import __version__  # noqa: F401

board.collect_every(board.WHILE_LOADING)


def train(steps=None, seed=None):
    """Train, log each tenth step, and save as the board's own program does.

    Goes on with the run in memory, else with the saved one; other `steps` or another `seed` than
    its own begin a new run, for which what is not given is taken from the settings. Ctrl-C saves
    and stops. Raises ValueError for a value out of range, DatasetError if there are no names,
    Diverged if a loss is not a number.
    """
    from . import repl

    repl.train(steps, seed)


def generate(n=10, temperature=None, prompt=""):
    """Return `n` names made up by the model in memory, or else by the saved one.

    `prompt` is how each begins, up to 16 letters a..z; a low `temperature`, from 0.01 to 100, gives
    the likeliest ones.
    Raises ValueError for other values, CheckpointError if there is neither.
    """
    from . import repl

    return repl.generate(n, temperature, prompt)


def save(replace=False):
    """Save the run in memory; `replace`: also where another run is saved, which is lost.

    Raises CheckpointError if there is none or, without `replace`, another run is saved; OSError if
    the file system is full.
    """
    from . import repl

    repl.save(replace)


def load():
    """Bring the saved run into memory, with its own seed and steps.

    Raises CheckpointError if there is none or it was trained on other names.
    """
    from . import repl

    repl.load()


def info():
    """Print what is here: version, kernels, free memory, names, the run in memory, saved ones."""
    from . import repl

    repl.info()


def reset():
    """Forget the run in memory and remove the saved ones."""
    from . import repl

    repl.reset()


def selftest():
    """Check memory, names, random numbers, every kernel, the gradient and 20 training steps.

    Prints a line for each check, PASS or FAIL, and a summary; returns the number of failed checks.
    A run in memory gives up its buffers and is forgotten; the saved one stays.
    """
    import gc
    import sys

    from . import backend
    from .adam import Adam
    from .model import Model

    kernels, reason = backend.choose()
    gc.collect()
    free = board.free_memory()
    app = sys.modules.get("ugpt.app")
    model, adam = app and app.give_up() or (None, None)
    if not adam:
        try:
            model = Model(kernels=kernels)
            adam = Adam(model.params, model.grads, kernels)
        except MemoryError:
            model = None
    try:
        from . import checks  # not before: they would take memory that training has

        return checks.run(kernels, reason, model, adam, free)
    finally:
        for name in ("checks", "answers"):
            sys.modules.pop("ugpt." + name, None)
            globals().pop(name, None)
