"""The board's program: read the settings, train, then make up names."""

import json

from . import backend, board
from .checkpoint import Checkpoints
from .dataset import DatasetError, open_dataset
from .generator import MAX_TEMPERATURE, Generator
from .report import Report, remark
from .training import Diverged, Training

SETTINGS = {  # name: (default, lowest, highest)
    "seed": (42, 0, 0xFFFFFFFF),  # 0: take one from the hardware
    "steps": (1000, 1, 1000000),
    "lr": (0.01, 1e-6, 1.0),
    "temperature": (0.5, 0, MAX_TEMPERATURE),  # 0: greedy
    "log_every": (10, 1, 1000000),
    "save_every_s": (30, 0, 86400),
}
SETTINGS_FILE = board.ROOT + "ugpt.json"

current = None  # the run in memory, its report and its checkpoints: `repl` goes on with them
_before = None  # the run whose buffers the next one gets


def fits(name, value):
    """Return whether the setting `name` may have this value."""
    default, lowest, highest = SETTINGS[name]
    kinds = (int, float) if isinstance(default, float) else (int,)
    return type(value) in kinds and lowest <= value <= highest


def allowed(name):
    """Return, in words, what the setting `name` may be."""
    default, lowest, highest = SETTINGS[name]
    kind = "a number" if isinstance(default, float) else "a whole number"
    return "%s from %s to %s" % (kind, lowest, highest)


def read_settings(path):
    """Return the settings from the JSON file at `path`, and remarks on what is wrong with it.

    A missing file means all defaults; for a broken value its default is used.
    """
    remarks = []
    settings = {name: SETTINGS[name][0] for name in SETTINGS}
    try:
        with open(path) as file:
            given = json.load(file)
        if not isinstance(given, dict):
            raise ValueError
    except OSError:
        return settings, remarks
    except ValueError:
        remarks.append("%s is not a JSON object: using the default settings" % path)
        return settings, remarks
    for name, value in given.items():
        if name not in SETTINGS:
            remarks.append(
                "%s: no setting is called %s; there are %s" % (path, name, ", ".join(SETTINGS))
            )
            continue
        if fits(name, value):
            settings[name] = value
        else:
            remarks.append(
                "%s: %s must be %s: using %s" % (path, name, allowed(name), settings[name])
            )
    return settings, remarks


def give_up():
    """Forget the run in memory; return its model and optimizer for another use, or None."""
    global current
    current = None
    return _before and (_before.model, _before.adam)


def prepare(settings, remarks=(), checkpoints=None):
    """Return the run of these settings, brought to where it was saved, its report and checkpoints.

    They are also `current`. Logs the first remark, then `remarks`. `checkpoints`, if they were
    looked through already, need not be again.
    """
    global current, _before
    current = None
    board.collect_every(board.WHILE_LOADING)
    dataset = open_dataset()
    checkpoints = checkpoints or Checkpoints(settings["save_every_s"])
    seed = settings["seed"] or checkpoints.seed() or board.hardware_seed()
    kernels, reason = backend.choose()
    training = Training(dataset, seed, settings["steps"], settings["lr"], kernels, _before)
    _before = training
    model = training.model
    report = Report(settings["log_every"])
    report.start(
        board.description(),
        kernels.NAME,
        reason,
        seed,
        len(model.params),
        training.steps,
        dataset.count,
    )
    for text in remarks:
        remark(text)
    checkpoints.resume(training)
    current = training, report, checkpoints
    return current


def run(settings, remarks):
    """Train on the board's names and make up new ones; log everything."""
    training, report, checkpoints = prepare(settings, remarks)
    training.run(report, checkpoints)
    generator = Generator(training.model, training.rng, settings["temperature"])
    made = 0
    while board.NAMES_TO_MAKE is None or made < board.NAMES_TO_MAKE:
        report.name(generator.name())
        made += 1
        board.pause_ms(board.NAME_PAUSE_MS)


def main():
    """Run with the settings of ugpt.json; every trouble ends in one line and a way to the REPL."""
    try:
        run(*read_settings(SETTINGS_FILE))
    except KeyboardInterrupt:
        remark("interrupted")
    except (DatasetError, Diverged) as error:
        remark("error: %s" % error)
    except MemoryError:
        remark("error: too little memory: %d bytes are free" % board.free_memory())
