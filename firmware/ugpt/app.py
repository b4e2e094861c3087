"""The board's program: read the settings, train, then generate names."""

import gc
import json
import sys

from . import board, checkpoint, layout, ops
from .checkpoint import Checkpoints
from .dataset import DatasetError, open_dataset
from .generator import MAX_TEMPERATURE, Generator
from .layout import Sizes, allocate_state
from .model import Model
from .report import Report, remark
from .training import Diverged, Training, exhaust

_USUAL = Sizes()
SETTINGS = {  # name: (default, lowest, highest)
    "seed": (42, 0, 0xFFFFFFFF),  # 0: take one from the hardware
    "steps": (1000, 1, 1000000),
    "lr": (0.01, 1e-6, 1.0),
    "temperature": (0.5, 0, MAX_TEMPERATURE),  # 0: greedy
    "log_every": (10, 1, 1000000),
    "save_every_s": (30, 0, 86400),
    "n_embd": (_USUAL.n_embd, 1, 1024),
    "n_head": (_USUAL.n_head, 1, 64),
    "n_layer": (_USUAL.n_layer, 1, 64),
    "block_size": (None, 1, 256),  # None: the record size of the documents
    "tie_lm_head": (_USUAL.tie_lm_head, False, True),
    "input_rmsnorm": (_USUAL.input_rmsnorm, False, True),
}
RUN = ("seed", "steps", "lr")  # the settings of a run that its checkpoint has, and these:
SIZES = layout.SIZES[1:]
SETTINGS_FILE = board.ROOT + "ugpt.json"

current = None  # (training, report, checkpoints) of the run in memory; `repl` continues it
_model = None  # of the latest run; the next one reuses its buffers


class SettingsError(ValueError):
    """No model can have these settings; the message says why, and what to do."""


def _kinds(name):
    """Return the types that a value of the setting `name` can have, and these in words."""
    default = SETTINGS[name][0]
    if isinstance(default, bool):
        return (bool,), "true or false"
    if isinstance(default, float):
        return (int, float), "a number"
    return (int,), "a whole number"


def fits(name, value):
    """Return whether `value` is allowed for the setting `name`."""
    _, lowest, highest = SETTINGS[name]
    return type(value) in _kinds(name)[0] and lowest <= value <= highest


def allowed(name):
    """Return, in words, which values are allowed for the setting `name`."""
    _, lowest, highest = SETTINGS[name]
    kinds, words = _kinds(name)
    return words if bool in kinds else "%s from %s to %s" % (words, lowest, highest)


def settings_of(header):
    """Return the settings of the run whose checkpoint has this header: RUN and SIZES."""
    sizes = checkpoint.sizes_of(header)
    settings = {name: header[name] for name in RUN}
    for name in SIZES:
        settings[name] = getattr(sizes, name)
    return settings


def read_settings(path, saved=None):
    """Return the settings in the JSON file at `path`, and a list of remarks on its errors.

    What it lacks is as in `complete`; a missing file is no error.
    """
    given = {}
    remarks = []
    try:
        with open(path) as file:
            if file.read(1) != "\ufeff":  # some editors put that first
                file.seek(0)
            given = json.load(file)  # not of one string: that takes memory that training needs
        if not isinstance(given, dict):
            raise ValueError
    except OSError:
        pass
    except ValueError:
        given = {}
        remarks.append("%s is not a JSON object: using the default settings" % path)
    settings, errors = complete(given, saved)
    return settings, remarks + ["%s: %s" % (path, text) for text in errors]


def complete(given, saved=None):
    """Return all settings, of which some are `given`, and a list of remarks on errors in these.

    A setting that is missing or has an invalid value gets that of the run whose checkpoint has the
    header `saved`, else its default. A block_size of None is the record size of the documents.
    """
    remarks = []
    settings = {name: SETTINGS[name][0] for name in SETTINGS}
    if saved:
        settings.update(settings_of(saved))
    for name, value in given.items():
        if name not in SETTINGS:
            remarks.append(
                "no setting is called %s; the settings are %s" % (name, ", ".join(SETTINGS))
            )
        elif fits(name, value):
            settings[name] = value
        else:
            used = settings[name]
            shown = "that of the names" if used is None else json.dumps(used)
            remarks.append("%s must be %s: using %s" % (name, allowed(name), shown))
    return settings, remarks


def sizes_of(settings, dataset):
    """Return the sizes of the model that these settings have for these documents.

    Raises SettingsError if n_embd is not divisible by n_head.
    """
    sizes = [settings[name] for name in SIZES]
    if settings["block_size"] is None:
        sizes[SIZES.index("block_size")] = dataset.record_size
    try:
        return Sizes(dataset.tokenizer.vocab_size, *sizes)
    except ValueError as error:
        raise SettingsError(str(error))


def _check_memory(sizes):
    """Return in words what a run with a model of these sizes takes; SettingsError if too much."""
    from . import memory

    try:
        return memory.check(sizes)
    except memory.TooLarge as error:
        raise SettingsError(str(error))
    finally:
        _forget("memory")


def _choose_kernels():
    """Return (backend, reason) as `backend.choose` does."""
    from . import backend

    try:
        return backend.choose()
    finally:
        _forget("backend")


def _forget(module):
    """On a board, free the memory of a module that is no longer needed: training needs it."""
    if board.ON_HARDWARE:
        delattr(sys.modules["ugpt"], module)
        del sys.modules["ugpt." + module]


def give_up(sizes=None):
    """Forget the run in memory; return the latest model if it has these sizes, for reuse.

    If it has others, or `sizes` is None, its memory is free after this, and the result is None.
    """
    global current, _model
    current = None
    if _model and not (sizes and _model.sizes == sizes):
        _model = None
        gc.collect()
    return _model


def prepare(settings, remarks=(), checkpoints=None):
    """Create a run with these settings, resume it if it was saved, and make it `current`.

    Returns (training, report, checkpoints). Logs the first remark of the run, then `remarks`.
    `checkpoints` can be given if the files have been read already. Raises DatasetError if the
    names are missing or damaged, SettingsError if no model has these sizes or it has no room.
    """
    global current, _model
    board.collect_every(board.WHILE_LOADING)
    dataset = open_dataset()
    sizes = sizes_of(settings, dataset)
    checkpoints = checkpoints or Checkpoints()
    checkpoints.save_every_us = settings["save_every_s"] * 1000000
    seed = settings["seed"] or checkpoints.seed() or board.hardware_seed()
    state = None
    memory = ""
    if not give_up(sizes):
        memory = _check_memory(sizes)
        state = allocate_state(sizes)  # before the kernels, which take memory too
    fallback = ops, board.OUT_OF_REACH
    for kernels, reason in (_choose_kernels(), fallback):  # noqa: B007 - used below
        if _model and _model.kernels is not kernels:
            give_up()
        try:
            _model = _model or Model(sizes, kernels, state)
            training = Training(dataset, seed, settings["steps"], settings["lr"], model=_model)
            break
        except OverflowError:  # of native.view
            pass
    report = Report(settings["log_every"])
    report.start(training, reason)
    for text in remarks:
        remark(text)
    checkpoints.resume(training)
    if memory:
        remark(memory)
    current = training, report, checkpoints
    return current


def run():
    """Train on the board's names, then generate new ones; log everything."""
    exhaust(program())


def program():
    """Do what `run` does, as a generator: it pauses before training, after each step and name."""
    checkpoints = Checkpoints()
    settings, remarks = read_settings(SETTINGS_FILE, checkpoints.header)
    training, report, checkpoints = prepare(settings, remarks, checkpoints)
    if checkpoints.locked:
        remark(
            "%s: it is left alone, and this run is not saved; make reset-training, or"
            " ugpt.reset(), removes it" % checkpoints.locked
        )
    yield
    yield from training.run_all(report, checkpoints)
    tokenizer = training.dataset.tokenizer
    generator = Generator(training.model, training.rng, tokenizer, settings["temperature"])
    made = 0
    while board.NAMES_TO_MAKE is None or made < board.NAMES_TO_MAKE:
        report.name(generator.name())
        made += 1
        board.pause_ms(board.NAME_PAUSE_MS)
        yield


FAILURES = (DatasetError, Diverged, SettingsError, MemoryError)  # for a person to put right


def explained(failure):
    """Return in a line what one of FAILURES says."""
    if isinstance(failure, MemoryError):
        return "too little memory: %d bytes are free" % board.free_memory()
    return str(failure)


def main():
    """Run as ugpt.json and the saved run say; log an error as one line and return to the REPL."""
    try:
        run()
    except KeyboardInterrupt:
        remark("interrupted")
    except FAILURES as error:
        remark("error: " + explained(error))
