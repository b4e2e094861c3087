"""The board's program in a browser's tab: what virtual_board.js calls between two steps.

MicroPython's WebAssembly build collects garbage only when no call is in progress, so each call
is short. Arguments and results are ints and strings, most of them JSON; arrays are read and written
in MicroPython's memory, by their address.
"""

import gc
import json
import random
from time import ticks_diff, ticks_ms

from uctypes import addressof
from ugpt import app, board, checkpoint, memory
from ugpt.dataset import open_dataset
from ugpt.generator import Generator
from ugpt.layout import SIZES, Sizes, parameter_count, parameter_table
from ugpt.model import INIT_STD, Model
from ugpt.report import remark
from ugpt.rng import Rng

STACK_SIZE = 8192
_stack = bytearray(STACK_SIZE)  # of kernels.wasm, with its arguments
STACK = addressof(_stack)
SAMPLE = 5  # names
LARGEST = 1e30  # loss that JSON can have: not an infinite one

GROWTH = 128 << 20  # bytes, which gc.mem_free() of this build counts as free
PIECE = 256  # parameters drawn at a time; each leaves some 500 bytes of garbage

_run = None


class PiecewiseModel(Model):
    """A model that leaves its initial weights to be drawn in pieces, over several calls."""

    def initialise(self, rng):
        self.pieces = self._draw(rng)

    def _draw(self, rng):
        params = self.params
        for first in range(0, len(params), PIECE):
            for i in range(first, min(first + PIECE, len(params))):
                params[i] = INIT_STD * rng.gauss()
            yield


def free_memory():
    """Return the free heap in bytes, without what it may grow by: large buffers never get that."""
    return gc.mem_free() - GROWTH


def hardware_seed():
    """Return a seed, 1 to 2**32 - 1; each call of random.seed() asks the browser's generator."""
    random.seed()
    return random.getrandbits(32) or 1


app.Model = PiecewiseModel
board.free_memory = free_memory
board.hardware_seed = hardware_seed  # this build has no os.urandom


class Run:
    """A run of the board's program; `program` pauses before training and after a step or name."""

    def __init__(self):
        self.program = app.program()

    def prepare(self, ms):
        """Draw initial weights, for `ms` milliseconds; return whether the run is ready."""
        begin = ticks_ms()
        if not app.current:
            next(self.program)
        training = app.current[0]
        for _ in training.model.pieces:
            if ticks_diff(ticks_ms(), begin) >= ms:
                return False
        training.rng_state = training.rng.state
        self._ready(training)
        return True

    def _ready(self, training):
        self.training = training
        self.losses = []  # of the steps that the page does not know of yet
        report = app.current[1]
        logged = report.step

        def step(number, steps, loss, lr, us):
            self.losses.append(round(loss, 4) if loss < LARGEST else None)
            logged(number, steps, loss, lr, us)

        report.step = step
        self.begun = False
        self.done = False
        self.made = 0  # names
        # What the page shows while it trains, with random numbers of its own: those of the run must
        # depend on its seed alone.
        training = self.training
        settings = app.read_settings(app.SETTINGS_FILE)[0]
        self.sampler = Generator(
            training.model, Rng(1), training.dataset.tokenizer, settings["temperature"]
        )

    def phase(self):
        if self.done:
            return "done"
        if not self.begun:
            return "ready"
        return "training" if self.training.step < self.training.steps else "generating"


def forget():
    """Forget the run, whose memory is free in the next call; call it before `start`."""
    global _run
    _run = None
    app.give_up()
    checkpoint.remove()
    gc.collect()


def needed():
    """Return the bytes that the run of ugpt.json and names.bin takes; 0 if `start` refuses it."""
    try:
        return memory.needed(app.sizes_of(app.read_settings(app.SETTINGS_FILE)[0], open_dataset()))
    except app.FAILURES:
        return 0


def start():
    """Begin a run as ugpt.json and names.bin say; `prepare` follows, until it has a result."""
    global _run
    _run = Run()


def prepare(ms):
    """Go on for `ms` milliseconds; return facts about the run if it is ready, else "", as JSON.

    If it cannot start, the result is the reason, under "failure", which is logged as on a board.
    """
    try:
        if not _run.prepare(ms):
            return ""
    except app.FAILURES as error:
        return _failed(error)
    training = _run.training
    model = training.model
    return json.dumps(
        {
            "charset": training.dataset.tokenizer.charset,
            "sizes": {name: getattr(model.sizes, name) for name in SIZES},
            "table": model.table,
            "parameters": len(model.params),
            "address": addressof(model.params),
            "data": training.dataset.count,
            "documents": training.dataset.count,
            "data_crc": training.dataset.crc,
            "record_size": training.dataset.record_size,
            "seed": training.seed,
            "kernels": model.kernels.NAME,
        }
    )


def _failed(error):
    """End the run with the reason, which is logged; return it as JSON."""
    global _run
    _run = None
    app.current = None
    text = app.explained(error)
    remark("error: " + text)
    return json.dumps({"phase": "failed", "failure": text})


def replaced():
    """Log that the page has written weights of its own over the initial ones."""
    _run.training.origin |= checkpoint.PUSHED
    remark("the initial weights are those of the loaded model, not of the seed")


def advance(count, ms):
    """Do `count` steps or names, or what takes `ms` milliseconds; return the state as JSON."""
    run = _run
    begin = ticks_ms()
    run.begun = True
    try:
        while count and not run.done:
            generating = run.training.step >= run.training.steps
            try:
                next(run.program)
                run.made += generating
            except StopIteration:
                run.done = True
            count -= 1
            if ticks_diff(ticks_ms(), begin) >= ms:
                break
        if run.made == board.NAMES_TO_MAKE and not run.done:
            next(run.program, None)  # nothing is left to do but to end
            run.done = True
    except app.FAILURES as error:
        return _failed(error)
    return state()


def state():
    """Return where the run is, and the losses of its steps since the last call, as JSON."""
    training = _run.training
    losses, _run.losses = _run.losses, []
    return json.dumps(
        {"phase": _run.phase(), "step": training.step, "steps": training.steps, "losses": losses}
    )


def sample(ms):
    """Return a few names that the model makes now, as JSON; it stops after `ms` milliseconds."""
    begin = ticks_ms()
    names = []
    while len(names) < SAMPLE and (not names or ticks_diff(ticks_ms(), begin) < ms):
        names.append(_run.sampler.name())
    return json.dumps(names)


def look(text):
    """Run the model on `text`; return where what it has computed is in memory, as JSON.

    Nothing that the next step depends on changes. What does not fit into the block is cut off; the
    result for an unknown character is "error", which names it.
    """
    model = _run.training.model
    tokenizer = _run.training.dataset.tokenizer
    text = text[: model.sizes.block_size - 1]
    try:
        tokens = tokenizer.encode(text)
    except ValueError as error:
        return json.dumps({"error": str(error)})
    n = model.set_tokens(tokens)
    model.forward(0, n)
    return json.dumps(
        {
            "text": text,
            "tokens": tokens,
            "n": n,
            "attention": [_address(layer.attn_weights) for layer in model.layers],
            "logits": _address(model.logits),
            "embeddings": _address(model.wte.w),
        }
    )


def _address(handle):
    """Return the address of a handle: with portable kernels that is a memoryview."""
    return handle if isinstance(handle, int) else addressof(handle)


def check(request):
    """Return what a model of some sizes needs, and which of some memories are too small, as JSON.

    `request` is JSON: {"sizes": {...}, "memories": [{"name", "free", "piece"}]}; a size that is
    missing is the default, and other keys are ignored. The result has all sizes, and a text for
    each memory, "" if the model fits; or "error", the reason why no model has these sizes.
    """
    request = json.loads(request)
    given = {name: request["sizes"][name] for name in SIZES if name in request["sizes"]}
    for name in app.SIZES:
        if name in given and not app.fits(name, given[name]):
            return json.dumps({"error": "%s must be %s" % (name, app.allowed(name))})
    try:
        sizes = Sizes(**given)
    except ValueError as error:
        return json.dumps({"error": str(error)})
    return json.dumps(
        {
            "sizes": {name: getattr(sizes, name) for name in SIZES},
            "table": parameter_table(sizes),
            "parameters": parameter_count(sizes),
            "needed": memory.needed(sizes),
            "refusals": {
                each["name"]: _refusal(sizes, each["free"], each["piece"])
                for each in request["memories"]
            },
        }
    )


def _refusal(sizes, free, piece):
    """Return in a line why a model has no room, "" if it has."""
    return "" if memory.fits(sizes, free, piece) else memory.refusal(sizes, free, piece)
