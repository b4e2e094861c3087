"""The native kernels in MicroPython on this computer: against the portable ones, call by call."""

import gc
from array import array

from ugpt import ops
from ugpt.adam import Adam
from ugpt.generator import Generator
from ugpt.model import Model
from ugpt.rng import Rng
from ugpt.tokenizer import Tokenizer

from tests.support.micropython.kernel_cases import CONSTANTS, cases, tolerance
from tests.support.micropython.training import train_step

IMPLEMENTATIONS = ("machine-code",)


def copied(arguments):
    return [array("f", a) if isinstance(a, array) else a for a in arguments]


def call(kernels, name, arguments):
    """Call a kernel; an array that is there twice stays one."""
    c = kernels.view(kernels.CONSTANTS, 0, len(kernels.CONSTANTS))
    handles = []
    for argument in arguments:
        if argument is CONSTANTS:
            handles.append(c)
        elif isinstance(argument, int):
            handles.append(argument)
        else:
            handles.append(kernels.view(argument, 0, len(argument)))
    getattr(kernels, name)(*handles)


def same(a, b, limit):
    return abs(a - b) <= limit or (a != a and b != b)  # NaN where nothing was written


def test_every_kernel_does_what_the_portable_one_does():
    from ugpt import native

    names = set()
    for name, arguments in cases():
        names.add(name)
        expected = copied(arguments)
        found = copied(arguments)
        if arguments[0] is arguments[1]:
            expected[1] = expected[0]
            found[1] = found[0]
        call(ops, name, expected)
        call(native, name, found)
        for before, a, b in zip(arguments, expected, found):
            if isinstance(before, array):
                limit = tolerance(name, a)
                good = all(same(x, y, limit) for x, y in zip(a, b))
                assert good, (name, [v for v in arguments if isinstance(v, int)], a, b)
    assert len(names) == 16


def trained(kernels, steps):
    model = Model(kernels=kernels)
    model.initialise(Rng(42))
    adam = Adam(model)
    names = ("emma", "olivia", "ava", "charles", "maryalexandrina", "bo", "x")
    for step in range(steps):
        train_step(model, adam, Tokenizer().encode(names[step % len(names)]), step, 0.01)
    return model, adam


def test_a_step_allocates_256_bytes_at_most():
    from ugpt import native

    model, adam = trained(native, 3)
    n = model.set_tokens(Tokenizer().encode("maryalexandrina"))
    gc.collect()
    gc.disable()
    try:
        for step in range(5):
            before = gc.mem_alloc()
            model.loss_of(n)
            adam.begin(step, 0.01)
            model.backward(n, adam.update)
            assert gc.mem_alloc() - before <= 256
    finally:
        gc.enable()  # a Pico would stay without it until its next hard reset


def greedy_names(kernels):
    """Return names at temperature 0 and close to it."""
    model = Model(kernels=kernels)
    model.initialise(Rng(1))
    names = []
    for temperature in (0, 1e-3, 1e-30, 5e-324):
        generator = Generator(model, Rng(7), Tokenizer(), temperature)
        names.append([generator.name(prompt) for prompt in ("", "e", "maryalexandrin")])
        assert abs(sum(generator.probabilities) - 1.0) < 1e-6, temperature  # false of NaN
        assert (generator.rng.state == Rng(7).state) == (temperature == 0)
    return names


def test_the_same_greedy_names():
    from ugpt import native

    names = greedy_names(ops)
    assert all(found == names[0] for found in names + greedy_names(native)), names
