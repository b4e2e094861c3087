"""Ctrl-C between two steps, where it is not the generator of the steps that runs."""

from ugpt import checkpoint
from ugpt.checkpoint import NEWEST, Checkpoints
from ugpt.training import Training, exhaust

from tests.support.micropython.arrays import raises
from tests.support.micropython.checkpoints import Names, Silent

HEAP = "1m"  # two runs, and two checkpoints
HERE = "checkpoint-test-"
STEPS = 4


class Interrupted:
    """A generator's items; then Ctrl-C comes when it is not the generator that runs."""

    def __init__(self, steps, after):
        self.steps = steps
        self.after = after

    def __iter__(self):
        return self

    def __next__(self):
        if not self.after:
            raise KeyboardInterrupt
        self.after -= 1
        return next(self.steps)

    def throw(self, error):
        return self.steps.throw(error)


def test_ctrl_c_between_two_steps_saves_as_one_within_a_step_does():
    saved = []
    for between in (False, True):
        checkpoint.remove(HERE)
        checkpoints = Checkpoints(1000, HERE)
        training = Training(Names(), seed=3, steps=STEPS)
        if between:
            steps = Interrupted(training.run_all(Silent(), checkpoints), 2)
            assert raises(KeyboardInterrupt, exhaust, steps)
        else:
            assert raises(KeyboardInterrupt, training.run, Silent(stop_after=1), checkpoints)
        assert training.step == checkpoints.saved_step == 2
        with open(HERE + NEWEST, "rb") as file:
            saved.append(file.read())
    assert saved[0] == saved[1]
    checkpoint.remove(HERE)


def test_ctrl_c_before_the_first_step_or_after_the_last_only_ends_it():
    for after in (0, STEPS):
        training = Training(Names(), seed=3, steps=STEPS)
        steps = training.run_all(Silent())
        if after:
            for _ in steps:
                pass
        assert raises(KeyboardInterrupt, exhaust, Interrupted(steps, 0))
        assert training.step == after
