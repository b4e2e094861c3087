"""The functions that `import ugpt` offers at the prompt; the package's docstrings describe them."""

import gc
import os
from array import array

from . import app, board, checkpoint
from .checkpoint import CheckpointError, Checkpoints
from .dataset import DatasetError, open_dataset
from .generator import Generator
from .layout import unusual
from .report import remark
from .rng import Rng
from .version import __version__

KEPT = "checkpoint-%d.bin"


def train(steps, seed, lr):
    given = {}
    for name, value in (("steps", steps), ("seed", seed), ("lr", lr)):
        if value is not None:
            if not app.fits(name, value):
                raise ValueError("%s must be %s" % (name, app.allowed(name)))
            given[name] = value
    if lr is not None:
        given["lr"] = array("f", (lr,))[0]  # as in a checkpoint
    training, report, checkpoints = _in_memory(given) or _prepare(given)
    if checkpoints.locked:
        remark("%s: it is kept as %s" % (checkpoints.locked, _keep(checkpoints)))
    if training.step >= training.steps:
        remark("the run is complete: more steps extend it, ugpt.train(steps=...)")
    try:
        training.run(report, checkpoints)
    except KeyboardInterrupt:
        remark("interrupted")


def _in_memory(given):
    """Return `app.current`, extended if need be, if that run can go on as `given`; else None."""
    if not app.current:
        return None
    training = app.current[0]
    run = checkpoint.header_of(training)
    if training.updating or not _fits(given, run):
        return None
    training.steps = given.get("steps", training.steps)
    if training.steps > run["steps"]:
        training.origin |= checkpoint.EXTENDED
        remark("extended from %d to %d steps" % (run["steps"], training.steps))
    return app.current


def _fits(given, run):
    """Return whether `run` can go on as `given`: same seed (0 is any), same lr, no fewer steps."""
    return (
        given.get("seed", 0) in (0, run["seed"])
        and given.get("lr", run["lr"]) == run["lr"]
        and given.get("steps", run["steps"]) >= run["steps"]
    )


def _keep(checkpoints):
    """Rename the checkpoint found, so that no save replaces it; return its new name."""
    number = 1
    while KEPT % number in os.listdir(board.ROOT or "."):
        number += 1
    board.rename(board.ROOT + checkpoints.found, board.ROOT + KEPT % number)
    checkpoints.unlock()
    return KEPT % number


def _prepare(given, saved_only=False):
    """Prepare the saved run if it can go on as `given`, else a new run; as `app.prepare`.

    Raises CheckpointError if no run is saved and `saved_only` is true.
    """
    settings, remarks = app.read_settings(app.SETTINGS_FILE)
    checkpoints = Checkpoints()
    header = checkpoints.header
    if saved_only and not header:
        raise CheckpointError("no run is saved: ugpt.train()")
    if header and _fits(given, header):
        settings.update(app.settings_of(header))
    settings.update(given)
    return app.prepare(settings, remarks, checkpoints)


def generate(values, n, temperature, prompt):
    given = {"n": n, "temperature": temperature, "prompt": prompt}
    names = ["n", "temperature", "prompt"]
    if values and isinstance(values[0], str):
        names.insert(0, names.pop())  # a text comes first: the prompt
    if len(values) > len(names):
        raise ValueError("n, temperature and prompt are all that can be given")
    given.update(zip(names, values))
    return _generate(**given)


def _generate(n, temperature, prompt):
    if type(n) is not int or n < 1:
        raise ValueError("n must be a whole number of at least 1, not %s" % n)
    if not app.current or app.current[0].updating:
        load(checkpoint.NEWEST)
    if temperature is None:
        temperature = app.read_settings(app.SETTINGS_FILE)[0]["temperature"]
    elif not app.fits("temperature", temperature):
        raise ValueError("temperature must be %s" % app.allowed("temperature"))
    # Not the run's random numbers: these must depend on its seed alone.
    training = app.current[0]
    rng = Rng(board.hardware_seed())
    generator = Generator(training.model, rng, training.dataset.tokenizer, temperature)
    return [generator.name(prompt) for _ in range(n)]


def save(replace):
    if not app.current:
        raise CheckpointError("there is no run in memory: ugpt.train() or ugpt.load()")
    training, _, checkpoints = app.current
    if replace:
        checkpoints.replace()
    checkpoints.save(training)


def load(name):
    if name != checkpoint.NEWEST:
        _bring_back(name)
    locked = _prepare({}, saved_only=True)[2].locked
    if locked:
        app.current = None
        raise CheckpointError(locked)


def _bring_back(name):
    """Make the checkpoint `name` the saved run; the run that was is kept under another name."""
    try:
        with open(board.ROOT + name, "rb") as file:
            checkpoint.read_header(file, name)
    except OSError:
        raise CheckpointError("%s is not there: ugpt.info() lists what is" % name)
    checkpoints = Checkpoints()
    if checkpoints.found == checkpoint.NEWEST:
        remark("%s is %s now" % (checkpoints.found, _keep(checkpoints)))
    board.rename(board.ROOT + name, board.ROOT + checkpoint.NEWEST)


def _sizes(sizes):
    """Return ", n_embd 24" and so on: the settings of sizes that are not the default."""
    return "".join(", %s %d" % field for field in unusual(sizes) if field[0] in app.SIZES)


def info():
    print("microgpt-esp32 %s on %s" % (__version__, board.description()))
    gc.collect()
    print("free memory: %d bytes" % board.free_memory())
    try:
        dataset = open_dataset()
        characters = dataset.tokenizer.vocab_size - 1
        print("names: %d in %s, %d characters" % (dataset.count, dataset.source.name, characters))
    except DatasetError as error:
        print("names: %s" % error)
    if app.current:
        training = app.current[0]
        print(
            "in memory: step %d of %d, seed %d, %s kernels"
            % (training.step, training.steps, training.seed, training.model.kernels.NAME)
            + _sizes(training.model.sizes)
        )
    usual = (checkpoint.NEWEST, checkpoint.OLDER)
    others = (name for name in os.listdir(board.ROOT or ".") if name.startswith("checkpoint-"))
    for name in usual + tuple(name for name in sorted(others) if name not in usual):
        try:
            with open(board.ROOT + name, "rb") as file:
                header = checkpoint.read_header(file, name)
            print(
                "%s: step %d of %d, seed %d"
                % (name, header["step"], header["steps"], header["seed"])
                + _sizes(checkpoint.sizes_of(header))
            )
        except CheckpointError as error:
            print(error)
        except OSError:
            print("%s: none" % name)


def reset():
    app.current = None
    checkpoint.remove()
