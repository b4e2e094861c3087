"""Training: a run is its seed, its settings and its data, and what it has learned so far."""

from array import array

from . import board, ops
from .adam import Adam
from .model import Model
from .rng import Rng


class Diverged(Exception):
    """The run cannot go on; the message says why and what to do."""


class Training:
    """A run of `steps` steps on `dataset`. The seed fixes all of it: weights first, then draws.

    `step` and `rng_state` are where it stands: what an interrupted step has done beyond them is
    done again. Only in the middle of an update, `updating`, there is no such place.
    """

    def __init__(self, dataset, seed=42, steps=1000, lr=0.01, kernels=ops, before=None):
        """Begin a run; one `before` it gives up its buffers: a board has no room for two."""
        self.dataset = dataset
        self.seed = seed
        self.steps = steps
        self.lr = array("f", (lr,))[0]  # as a checkpoint holds it
        self.rng = Rng(seed)
        if before:
            self.model = before.model
            self.adam = before.adam
            self.adam.clear()
        else:
            self.model = Model(kernels=kernels)
            self.adam = Adam(self.model.params, self.model.grads, kernels)
        board.collect_every(-1)  # what is large has its place
        self.model.initialise(self.rng)
        self.step = 0  # the next one
        self.rng_state = self.rng.state
        self.updating = False
        self.pushed = 0  # 1: the weights did not come from the seed

    def lr_at(self, step):
        """Return the learning rate of `step`: it falls in a straight line, to 0 after the last."""
        return self.lr * (1 - step / self.steps)

    def run_step(self):
        """Draw a document, learn from it, and return its loss before the update.

        Raises Diverged, before the update, if the loss is not a number.
        """
        model = self.model
        self.rng.state = self.rng_state
        index = self.rng.below(self.dataset.count)
        n = self.dataset.read_into(index, model.tokens) - 1
        loss = model.loss_and_grads(n)
        if loss != loss:
            raise Diverged(
                "the loss of step %d is not a number, the weights are spoilt: nothing is saved, lr"
                " should be lower" % self.step
            )
        board.hold_interrupts()
        try:
            self.updating = True
            self.adam.step(self.step, self.lr_at(self.step))
            self.step += 1
            self.rng_state = self.rng.state
            self.updating = False
        finally:
            board.release_interrupts()
        if board.interrupt_waits():
            raise KeyboardInterrupt
        return loss

    def run(self, report, checkpoints=None):
        """Go on to the last step, telling `report` of each and saving to `checkpoints`.

        Ctrl-C saves, too, and is raised again.
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
            if checkpoints:
                checkpoints.finish(self)
        except KeyboardInterrupt:
            board.hold_interrupts()  # a second one shall not cost what the first one saves
            try:
                print()  # it may have cut a line short
                if checkpoints:
                    checkpoints.finish(self)
            finally:
                board.release_interrupts()
            raise
