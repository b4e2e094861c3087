"""Documents drawn with every field of Sampling: token after token, in every engine and command."""

import microgpt
import numpy as np
import pytest
from microgpt.engines import build
from microgpt.sampling import (
    Decoder,
    Drawn,
    Draws,
    Sampling,
    continued,
    distribution,
    draw,
    stream_document,
)

from tests.support.engines import built

EVERY = Sampling(1.2, 6, 0.95, 0.15, 1.5)
FIELDS = {"top_k": 6, "top_p": 0.95, "min_p": 0.15, "repetition_penalty": 1.5}  # those of EVERY


@pytest.fixture
def model() -> microgpt.Model:
    """A model whose logits are far enough apart that each filter matters."""
    config = microgpt.ModelConfig(n_embd=8, n_head=2, block_size=12)
    model = microgpt.create(config, "abcdefgh", 3, "tensor", special_tokens=("<|x|>", "<|y|>"))
    for matrix in model.weights.values():
        matrix *= 6
    return model


def sequence(model: microgpt.Model, how: Sampling, draws: Draws, text: str) -> list[Drawn]:
    """Return what is drawn after BOS and `text` until the block is full."""
    tokens = [model.tokenizer.bos, *model.tokenizer.characters(text)]
    before = list(tokens)
    found = list(continued(Decoder(model), tokens, how, draws))
    assert tokens == before
    return found


@pytest.mark.parametrize("how", [Sampling(1.0), Sampling(0, repetition_penalty=2.0), EVERY])
@pytest.mark.parametrize("text", ["", "aabc"])
def test_each_token_is_drawn_after_all_before_it(
    model: microgpt.Model, how: Sampling, text: str
) -> None:
    """The penalty is on the characters, of the prompt too, and on no other token."""
    tokenizer = model.tokenizer
    others = [tokenizer.bos, *map(tokenizer.special, tokenizer.special_tokens)]
    model.weights["lm_head"][others] *= 1.5
    tokens = [tokenizer.bos, *tokenizer.characters(text)]
    draws, penalised = Draws(4), 0
    for token, logits in sequence(model, how, Draws(4), text):
        step = model.decoder()
        assert np.array_equal(logits, [step(t) for t in tokens][-1])
        seen = {t for t in tokens if t in tokenizer.characters(tokenizer.charset)}
        assert token == draw(logits, how, draws, seen)
        p = distribution(logits, how, seen)
        penalised += not np.array_equal(p, distribution(logits, how, {*tokens}))
        tokens.append(token)
    assert len(tokens) == model.config.block_size + 1
    assert (penalised > 0) is (how.repetition_penalty != 1)  # that the others are not matters
    assert set(tokens) & set(others[1:]) or how.temperature == 0


def test_greedy_with_a_penalty_goes_through_the_characters(model: microgpt.Model) -> None:
    """A logit above 0 that is divided by 100 is behind all others that are above 0."""
    for token in (0, 9, 10):
        model.weights["lm_head"][token] = 0
    model.weights["lm_head"][1:9] = 1
    model.weights["wte"][:] = abs(model.weights["wte"])  # all logits are equal
    model.weights["layer0.attn_wo"][:] = model.weights["layer0.mlp_fc2"][:] = 0
    model.weights["wpe"][:] = 0
    how = Sampling(0, repetition_penalty=100.0)
    assert "".join(stream_document(model, how, Draws(1), "c")).startswith("cabdefgh")
    (text,) = microgpt.generate(model, 1, 0, repetition_penalty=100.0)
    assert text.startswith("abcdefgh")
    assert microgpt.generate(model, 1, 0) == ["a" * 12]


def test_generate_has_the_same_documents(model: microgpt.Model) -> None:
    found = microgpt.generate(model, 20, 1.2, 9, "ab", **FIELDS)
    assert len(set(found)) > 10
    assert found == ["".join(stream_document(model, EVERY, Draws(9, i), "ab")) for i in range(20)]
    assert microgpt.generate(model, 7, 1.2, 9, "ab", **FIELDS) == found[:7]
    for name in FIELDS:  # each of them matters
        rest = {other: value for other, value in FIELDS.items() if other != name}
        assert microgpt.generate(model, 20, 1.2, 9, "ab", **rest) != found, name


def test_greedy_documents_with_any_filter(model: microgpt.Model) -> None:
    expected = microgpt.generate(model, 1, 0, prompt="ab")
    filters = {name: value for name, value in FIELDS.items() if name != "repetition_penalty"}
    for seed in (1, 2):
        assert microgpt.generate(model, 1, 0, seed, "ab", **filters) == expected


def test_documents_of_every_engine_are_the_same(model: microgpt.Model) -> None:
    given = model.config, model.tokenizer, model.weights
    engines = [build(*given, name, "float64") for name in ("tensor", "scalar")]
    engines += [build(*given, "tensor", "float32"), built(*given)]
    expected, *others = (microgpt.generate(each, 30, 1.2, 5, "b", **FIELDS) for each in engines)
    assert len(set(expected)) > 15
    assert others == [expected] * 3


def test_with_a_temperature_alone_the_engine_generates(model: microgpt.Model) -> None:
    """Engine native does, in C; with anything else no engine is asked."""
    asked = []
    original = model.generate_documents
    model.generate_documents = lambda *given: asked.append(given) or original(*given)
    microgpt.generate(model, 2, 0.7, top_k=0, top_p=1, min_p=0, repetition_penalty=1)
    assert len(asked) == 1
    for name, value in FIELDS.items():
        microgpt.generate(model, 2, 0.7, **{name: value})
    assert len(asked) == 1
