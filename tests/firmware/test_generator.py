"""Sampling: bounded, repeatable, led by prompt and temperature."""

from ugpt.generator import Generator
from ugpt.layout import Sizes
from ugpt.model import Model
from ugpt.rng import Rng
from ugpt.tokenizer import Tokenizer

from tests.support.micropython.arrays import message, raises

LETTERS = Tokenizer()
TINY = (1e-3, 1e-30, 1e-39, 5e-324)  # a board's single precision holds no normal number below 1e-38


def untrained(seed=1, sizes=None):
    model = Model(sizes)
    model.initialise(Rng(seed))
    return model


def likeliest(model, prompt=""):
    """Return the greedy name: from the logits of all positions at once, without a generator."""
    tokens = [0] + [ord(letter) - 96 for letter in prompt]
    vocab_size = model.sizes.vocab_size
    while len(tokens) <= model.sizes.block_size:
        n = len(tokens)
        model.tokens[:n] = bytes(tokens)
        model.forward(0, n)
        logits = list(model.logits[(n - 1) * vocab_size : n * vocab_size])
        token = logits.index(max(logits))
        if token == 0:
            break
        tokens.append(token)
    return "".join(chr(96 + token) for token in tokens[1:])


def test_the_same_seed_gives_the_same_names():
    model = untrained()
    first = Generator(model, Rng(5), LETTERS)
    names = [first.name() for _ in range(10)]
    second = Generator(model, Rng(5), LETTERS)
    assert [second.name() for _ in range(10)] == names
    assert len(set(names)) > 5


def test_names_are_letters_and_fit_the_block():
    generator = Generator(untrained(), Rng(2), LETTERS)
    for _ in range(30):
        name = generator.name()
        assert len(name) <= 16
        assert all("a" <= c <= "z" for c in name)


def test_a_prompt_begins_the_name():
    generator = Generator(untrained(), Rng(2), LETTERS)
    assert all(generator.name("ma")[:2] == "ma" for _ in range(5))
    for prompt in ("Ma", "m a", "é", "abcdefghijklmné"):
        assert raises(ValueError, generator.name, prompt), prompt


def test_names_and_prompts_are_of_the_characters_of_the_list():
    towns = Tokenizer(" MZchinrü東\U0001f600")
    model = untrained(1, Sizes(towns.vocab_size, block_size=24))
    generator = Generator(model, Rng(2), towns)
    names = [generator.name() for _ in range(50)]
    assert set("".join(names)) == set(towns.charset)
    assert all(len(name) <= 24 for name in names)
    for prompt in ("Mü", "\U0001f600", "東 ", "ü" * 23):
        assert generator.name(prompt)[: len(prompt)] == prompt
    assert message(generator.name, "ü" * 24) == "a prompt is at most 23 characters, not 24"
    assert message(generator.name, "Max") == "'a' is not in the vocabulary"


def test_a_vocabulary_of_one_character():
    generator = Generator(untrained(1, Sizes(2)), Rng(2), Tokenizer("é"))
    assert all(set(generator.name()) <= {"é"} for _ in range(20))


def test_a_prompt_leaves_a_position_of_the_block():
    generator = Generator(untrained(), Rng(2), LETTERS)
    longest = "abcdefghijklmno"
    names = [generator.name(longest) for _ in range(20)]
    assert all(name[:15] == longest and len(name) <= 16 for name in names)
    assert max(len(name) for name in names) == 16
    for prompt in (longest + "p", longest + "pqrst"):
        expected = "a prompt is at most 15 characters, not %d" % len(prompt)
        assert message(generator.name, prompt) == expected


def test_a_block_of_one_position_takes_no_prompt():
    generator = Generator(untrained(1, Sizes(block_size=1)), Rng(2), LETTERS)
    assert len(generator.name()) <= 1
    assert message(generator.name, "a") == "a prompt is at most 0 characters, not 1"


def test_a_low_temperature_takes_the_likeliest():
    model = untrained()
    names = {Generator(model, Rng(seed), LETTERS, 0.001).name() for seed in range(1, 6)}
    assert len(names) == 1


def test_temperature_0_takes_the_likeliest_and_draws_no_random_number():
    model = Model()
    rng = Rng(7)
    for seed in (1, 2, 3):
        model.initialise(Rng(seed))
        for prompt in ("", "ma"):
            expected = likeliest(model, prompt)
            for zero in (0, 0.0):
                assert Generator(model, rng, LETTERS, zero).name(prompt) == expected
    assert rng.state == Rng(7).state


def test_the_first_of_equally_likely_tokens_is_taken():
    model = Model()  # all weights are 0
    assert Generator(model, Rng(1), LETTERS, 0).name("ma") == "ma"  # BOS, token 0


def test_a_temperature_close_to_0_is_not_a_division_by_0():
    model = untrained()
    expected = likeliest(model)
    for temperature in TINY:
        generator = Generator(model, Rng(1), LETTERS, temperature)
        assert generator.name() == expected, temperature
        assert abs(sum(generator.probabilities) - 1.0) < 1e-6, temperature  # false of NaN


def test_a_temperature_outside_0_to_100_is_refused():
    model = untrained()
    Generator(model, Rng(1), LETTERS, 100)
    for temperature in (-1e-3, 100.001, 1e39, float("inf"), float("nan")):
        assert raises(ValueError, Generator, model, Rng(1), LETTERS, temperature), temperature
    expected = "temperature must be from 0 to 100, not 101"
    assert message(Generator, model, Rng(1), LETTERS, 101) == expected
