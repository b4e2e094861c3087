"""Training: a run, determined by its seed, its settings and its data."""

from array import array

from . import board, ops
from .adam import Adam
from .checkpoint import MIXED
from .layout import Sizes
from .model import Model
from .rng import Rng


def exhaust(steps):
    """Run a generator of steps to its end; Ctrl-C between two steps is raised in it too."""
    try:
        for _ in steps:
            pass
    except KeyboardInterrupt as interrupt:
        try:  # noqa: SIM105 - MicroPython has no contextlib
            steps.throw(interrupt)
        except StopIteration:  # MicroPython's, if the generator has raised it and so has ended
            pass
        raise


class Diverged(Exception):
    """The run cannot continue; the message says why, and what to do."""


class Training:
    """A run of `steps` steps on `dataset`; `seed` determines the initial weights, then the draws.

    `step` and `rng_state` change only at the end of a step: a step that was interrupted is done
    again. But an interrupted backward pass, which updates the weights as it goes, cannot be done
    again or saved; then `updating` stays true.
    """

    def __init__(self, dataset, seed=42, steps=1000, lr=0.01, kernels=ops, model=None):
        """Begin a run of `model`, whose weights and moments are lost.

        Without one it is a new model on `kernels`, of the sizes that the list of documents needs.
        """
        self.dataset = dataset
        self.seed = seed
        self.steps = steps
        self.lr = array("f", (lr,))[0]  # rounded to float32, as in a checkpoint
        self.rng = Rng(seed)
        if not model:
            sizes = Sizes(dataset.tokenizer.vocab_size, block_size=dataset.record_size)
            model = Model(sizes, kernels)
        self.model = model
        self.adam = Adam(model)
        self.adam.clear()
        board.collect_every(-1)  # the large buffers are allocated
        model.initialise(self.rng)
        self.step = 0  # the next step
        self.rng_state = self.rng.state
        self.updating = False
        self.origin = MIXED  # more bits of `checkpoint` follow if it is resumed

    def lr_at(self, step):
        """Return the learning rate of `step`, which falls linearly to 0 after the last step."""
        return self.lr * (1 - step / self.steps)

    def run_step(self):
        """Draw a document, train on it, and return its loss before the update.

        Raises Diverged before the update if the loss is not a number, KeyboardInterrupt after it
        if Ctrl-C was pressed on the virtual board.
        """
        model = self.model
        self.rng.state = self.rng_state
        index = self.rng.below(self.dataset.count)
        n = self.dataset.read_into(index, model.tokens) - 1
        loss = model.loss_of(n)
        if loss != loss:
            raise Diverged(
                "the loss of step %d is not a number: the weights are unusable and not saved; set"
                " a lower lr" % self.step
            )
        board.hold_interrupts()
        try:
            self.updating = True
            self.adam.begin(self.step, self.lr_at(self.step))
            model.backward(n, self.adam.update)
            self.step += 1
            self.rng_state = self.rng.state
            self.updating = False
        finally:
            board.release_interrupts()
        if board.interrupt_waits():
            raise KeyboardInterrupt
        return loss

    def run(self, report, checkpoints=None):
        """Train to the last step, as `run_all` does."""
        exhaust(self.run_all(report, checkpoints))

    def run_all(self, report, checkpoints=None):
        """Train to the last step, with a log by `report` and saves by `checkpoints`; a generator.

        It pauses after each step. Ctrl-C saves too, then raises KeyboardInterrupt.
        """
        if self.step >= self.steps:
            return
        try:
            while self.step < self.steps:
                start = board.ticks_us()
                step = self.step
                loss = self.run_step()
                us = board.elapsed_us(start)
                report.step(step, self.steps, loss, self.lr_at(step), us)
                if checkpoints:
                    checkpoints.after_step(self, board.elapsed_us(start))
                yield
            if checkpoints:
                checkpoints.finish(self)
        except KeyboardInterrupt:
            board.hold_interrupts()  # a second Ctrl-C must not interrupt the save
            try:
                print()  # Ctrl-C may have interrupted a line of the log
                if checkpoints:
                    checkpoints.finish(self)
            finally:
                board.release_interrupts()
            raise
