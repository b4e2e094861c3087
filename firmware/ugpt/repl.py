"""The functions that `import ugpt` offers at the prompt; the package's docstrings describe them."""

import gc

from . import app, board, checkpoint
from .checkpoint import CheckpointError, Checkpoints
from .dataset import DatasetError, open_dataset
from .generator import Generator
from .report import remark
from .rng import Rng
from .version import __version__


def train(steps, seed):
    given = {}
    for name, value in (("steps", steps), ("seed", seed)):
        if value is not None:
            if not app.fits(name, value):
                raise ValueError("%s must be %s" % (name, app.allowed(name)))
            given[name] = value
    training, report, checkpoints = _in_memory(given) or _prepare(given)
    try:
        training.run(report, checkpoints)
    except KeyboardInterrupt:
        remark("interrupted")


def _in_memory(given):
    """Return `app.current` if that run can continue and matches `given`, else None."""
    if not app.current:
        return None
    training = app.current[0]
    same = _fits(given, {"steps": training.steps, "seed": training.seed})
    return app.current if same and not training.updating else None


def _fits(given, run):
    """Return whether `run` has the steps and the seed in `given`, if any; seed 0 matches all."""
    return given.get("steps", run["steps"]) == run["steps"] and given.get("seed", 0) in (
        0,
        run["seed"],
    )


def _prepare(given, saved_only=False):
    """Prepare the saved run if it matches `given`, else a new run; as `app.prepare`.

    Raises CheckpointError if no run is saved and `saved_only` is true.
    """
    settings, remarks = app.read_settings(app.SETTINGS_FILE)
    checkpoints = Checkpoints(settings["save_every_s"])
    header = checkpoints.header
    if saved_only and not header:
        raise CheckpointError("no run is saved: ugpt.train()")
    values = header if header and _fits(given, header) else given
    for name in ("seed", "steps", "lr"):
        settings[name] = values.get(name, settings[name])
    return app.prepare(settings, remarks, checkpoints)


def generate(n, temperature, prompt):
    if n < 1:
        raise ValueError("n must be at least 1, not %s" % n)
    if not app.current or app.current[0].updating:
        load()
    if temperature is None:
        temperature = app.read_settings(app.SETTINGS_FILE)[0]["temperature"]
    elif not app.fits("temperature", temperature):
        raise ValueError("temperature must be %s" % app.allowed("temperature"))
    # Not the run's random numbers: these must depend on its seed alone.
    generator = Generator(app.current[0].model, Rng(board.hardware_seed()), temperature)
    return [generator.name(prompt) for _ in range(n)]


def save(replace):
    if not app.current:
        raise CheckpointError("there is no run in memory: ugpt.train() or ugpt.load()")
    training, _, checkpoints = app.current
    if replace:
        checkpoints.replace()
    checkpoints.save(training)


def load():
    locked = _prepare({}, saved_only=True)[2].locked
    if locked:
        app.current = None
        raise CheckpointError(locked)


def info():
    print("microgpt-esp32 %s on %s" % (__version__, board.description()))
    gc.collect()
    print("free memory: %d bytes" % board.free_memory())
    try:
        dataset = open_dataset()
        print("names: %d in %s" % (dataset.count, dataset.source.name))
    except DatasetError as error:
        print("names: %s" % error)
    if app.current:
        training = app.current[0]
        print(
            "in memory: step %d of %d, seed %d, %s kernels"
            % (training.step, training.steps, training.seed, training.model.kernels.NAME)
        )
    for name in (checkpoint.NEWEST, checkpoint.OLDER):
        try:
            with open(board.ROOT + name, "rb") as file:
                header = checkpoint.read_header(file, name)
            print(
                "%s: step %d of %d, seed %d"
                % (name, header["step"], header["steps"], header["seed"])
            )
        except CheckpointError as error:
            print(error)
        except OSError:
            print("%s: none" % name)


def reset():
    app.current = None
    checkpoint.remove()
