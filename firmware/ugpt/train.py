"""Training: a run is its seed, its settings and its data, and what it has learned so far."""

from . import board, ops
from .adam import Adam
from .model import Model
from .rng import Rng


class Training:
    """A run of `steps` steps on `dataset`. The seed fixes all of it: weights first, then draws."""

    def __init__(self, dataset, seed=42, steps=1000, lr=0.01, kernels=ops):
        self.dataset = dataset
        self.seed = seed
        self.steps = steps
        self.lr = lr
        self.rng = Rng(seed)
        self.model = Model(kernels=kernels)
        self.model.initialise(self.rng)
        self.adam = Adam(self.model.params, self.model.grads, kernels)
        self.step = 0  # the next one

    def lr_at(self, step):
        """Return the learning rate of `step`: it falls in a straight line, to 0 after the last."""
        return self.lr * (1 - step / self.steps)

    def run_step(self):
        """Draw a document, learn from it, and return its loss before the update."""
        model = self.model
        index = self.rng.below(self.dataset.count)
        n = self.dataset.read_into(index, model.tokens) - 1
        loss = model.loss_and_grads(n)
        self.adam.step(self.step, self.lr_at(self.step))
        self.step += 1
        return loss

    def run(self, report):
        """Go on to the last step, telling `report` of each."""
        while self.step < self.steps:
            start = board.ticks_us()
            step = self.step
            loss = self.run_step()
            us = board.elapsed_us(start)
            report.step(step, self.steps, loss, self.lr_at(step), us, board.free_memory())
