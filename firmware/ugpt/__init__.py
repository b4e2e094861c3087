"""A GPT that trains itself on a microcontroller, in MicroPython and, unchanged, in CPython.

At the board's prompt: `import ugpt`, then `ugpt.train()`, `ugpt.generate()`, `ugpt.save()`,
`ugpt.load()`, `ugpt.info()`, `ugpt.reset()`. What they need is imported when they are called.
(No module may bear the name of one of these: Python would put it in the function's place.)
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
