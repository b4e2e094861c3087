"""The board's program: read the settings, train, then make up names."""

import json

from . import backend, board
from .dataset import Dataset, DatasetError
from .generate import Generator
from .report import Report, remark
from .train import Training

SETTINGS = {  # name: (default, lowest, highest)
    "seed": (42, 0, 0xFFFFFFFF),  # 0: take one from the hardware
    "steps": (1000, 1, 1000000),
    "lr": (0.01, 1e-6, 1.0),
    "temperature": (0.5, 0.01, 100.0),
    "log_every": (10, 1, 1000000),
}


def read_settings(path):
    """Return the settings from the JSON file at `path`; a missing file means all defaults.

    A broken file or value is remarked on, and its default used.
    """
    settings = {name: SETTINGS[name][0] for name in SETTINGS}
    try:
        with open(path) as file:
            given = json.load(file)
        if not isinstance(given, dict):
            raise ValueError
    except OSError:
        return settings
    except ValueError:
        remark("%s is not a JSON object: using the default settings" % path)
        return settings
    for name, value in given.items():
        if name not in SETTINGS:
            remark("%s: no setting is called %s; there are %s" % (path, name, ", ".join(SETTINGS)))
            continue
        default, lowest, highest = SETTINGS[name]
        kinds = (int, float) if isinstance(default, float) else (int,)
        fits = type(value) in kinds and lowest <= value <= highest
        if fits:
            settings[name] = value
        else:
            remark(
                "%s: %s must be %s from %s to %s: using %s"
                % (
                    path,
                    name,
                    "a number" if float in kinds else "a whole number",
                    lowest,
                    highest,
                    default,
                )
            )
    return settings


def open_dataset():
    """Return the board's documents, checked; raise DatasetError."""
    try:
        source = board.open_names()
    except OSError:
        raise DatasetError("no names: neither a partition %s nor names.bin" % board.PARTITION)
    dataset = Dataset(source)
    dataset.check()
    return dataset


def run(settings):
    """Train on the board's names and make up new ones; log everything."""
    dataset = open_dataset()
    seed = settings["seed"] or board.hardware_seed()
    kernels, reason = backend.choose()
    training = Training(dataset, seed, settings["steps"], settings["lr"], kernels)
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
    training.run(report)
    generator = Generator(model, training.rng, settings["temperature"])
    made = 0
    while board.NAMES_TO_MAKE is None or made < board.NAMES_TO_MAKE:
        report.name(generator.name())
        made += 1
        board.pause_ms(board.NAME_PAUSE_MS)


def main():
    """Run with the settings of ugpt.json; every trouble ends in one line and a way to the REPL."""
    try:
        run(read_settings(board.ROOT + "ugpt.json"))
    except KeyboardInterrupt:
        remark("interrupted")
    except DatasetError as error:
        remark("error: %s" % error)
    except MemoryError:
        remark("error: too little memory: %d bytes are free" % board.free_memory())
