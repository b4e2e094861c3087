"""Sampling: bounded, repeatable, led by prompt and temperature."""

from ugpt.generator import Generator
from ugpt.model import Model
from ugpt.rng import Rng

from tests.support.arrays import raises


def untrained(seed=1):
    model = Model()
    model.initialise(Rng(seed))
    return model


def test_the_same_seed_gives_the_same_names():
    model = untrained()
    first = Generator(model, Rng(5))
    names = [first.name() for _ in range(10)]
    second = Generator(model, Rng(5))
    assert [second.name() for _ in range(10)] == names
    assert len(set(names)) > 5


def test_names_are_letters_and_fit_the_block():
    generator = Generator(untrained(), Rng(2))
    for _ in range(30):
        name = generator.name()
        assert len(name) <= 16
        assert all("a" <= c <= "z" for c in name)


def test_a_prompt_begins_the_name():
    generator = Generator(untrained(), Rng(2))
    assert all(generator.name("ma")[:2] == "ma" for _ in range(5))
    assert generator.name("abcdefghijklmnopqrst") == "abcdefghijklmnop"
    assert raises(ValueError, generator.name, "Ma")


def test_a_low_temperature_takes_the_likeliest():
    model = untrained()
    names = {Generator(model, Rng(seed), 0.001).name() for seed in range(1, 6)}
    assert len(names) == 1


def test_temperature_0_is_refused():
    assert raises(ValueError, Generator, untrained(), Rng(1), 0)
