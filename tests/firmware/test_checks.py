"""The self-test: right kernels pass it, a wrong one does not."""

import sys

import ugpt
from ugpt import backend, checks, ops
from ugpt.adam import Adam
from ugpt.model import Model
from ugpt.rng import Rng

HEAP = "300k"  # for a board too much: it runs the checks themselves, by `make selftest`


class Kernels:
    """The portable kernels, one of them replaced."""

    def __init__(self, name=None, kernel=None):
        for other in checks.NAMES + ("view", "CONSTANTS", "NAME"):
            setattr(self, other, getattr(ops, other))
        if name:
            setattr(self, name, kernel)


def failures(kernels):
    """Return how many checks of the arithmetic fail, and how many there are."""
    tally = checks.Tally()
    checks.check_rng(tally)
    checks.check_kernels(tally, kernels)
    model = Model(kernels=kernels)
    adam = Adam(model)
    model.initialise(Rng(checks.SEED))
    checks.check_gradient(tally, model, adam)
    checks.check_training(tally, model, adam)
    return tally.failed, tally.passed + tally.failed


def test_the_portable_kernels_pass():
    assert failures(ops) == (0, 20)


def off(right):
    """Return the kernel `right` with a little error."""

    def wrong(out, *others):
        right(out, *others)
        out[0] += 1e-4

    return wrong


def test_the_kernels_chosen_here_pass():
    assert failures(backend.choose()[0]) == (0, 20)


def test_selftest_runs_at_each_call_and_unloads_its_modules():
    for _ in range(2):
        assert ugpt.selftest() == 1  # there are no names here
        assert "ugpt.checks" not in sys.modules and not hasattr(ugpt, "checks")
        assert "ugpt.answers" not in sys.modules and not hasattr(ugpt, "answers")


def test_selftest_without_memory_for_training_fails_and_checks_the_rest():
    def no_memory(sizes, kernels):
        raise MemoryError

    module = sys.modules["ugpt.model"]
    module.Model = no_memory
    try:
        assert ugpt.selftest() == 2  # memory, names
    finally:
        module.Model = Model


def test_a_small_error_in_any_kernel_fails():
    for name in checks.NAMES:
        tally = checks.Tally()
        checks.check_kernels(tally, Kernels(name, off(getattr(ops, name))))
        assert tally.failed >= 1, name


def test_a_backward_pass_with_the_wrong_power_fails():
    def wrong(dx, dy, y, scale, n, width, *c):
        cubed = [s * s * s for s in scale]
        ops.rmsnorm_backward(dx, dy, y, cubed, n, width, *c)

    failed, _ = failures(Kernels("rmsnorm_backward", wrong))
    assert failed >= 3  # the kernel, the gradient, its sums


def test_nan_fails():
    def wrong(x, count):
        ops.relu(x, count)
        x[0] = float("nan")

    tally = checks.Tally()
    checks.check_kernels(tally, Kernels("relu", wrong))
    assert tally.failed >= 1
    nan = float("nan")
    for found in ([nan, 1.0, 2.0], [1.0, nan, 2.0], [1.0, 1.0, nan]):
        assert not checks.error(found, [1.0, 1.0, 2.0]) <= 1.0
