"""The distribution that a token is drawn from: what each definition says, and the draws follow it.

`by_definition` computes it a second time, token by token, with nothing of what is tested.
"""

import inspect
import math
from collections.abc import Collection, Sequence
from dataclasses import fields

import microgpt
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from microgpt.sampling import LIMITS, Draws, Sampling, SamplingError, distribution, draw

from tests.support.draws import Fixed, NoDraws

LOGITS = st.lists(
    st.floats(-30, 30, width=32) | st.integers(-3, 3).map(float), min_size=1, max_size=30
)
TEMPERATURE = st.floats(0.01, 100) | st.sampled_from([0.5, 1.0])
TOP_K = st.integers(0, 35)
SHARE = st.floats(0, 1)  # top_p, min_p
PENALTY = st.floats(0.01, 100) | st.sampled_from([1.0, 1.1])
EVERY = st.builds(Sampling, TEMPERATURE, TOP_K, SHARE, SHARE, PENALTY)
SEEN = st.sets(st.integers(0, 29))


def penalised(logits: Sequence[float], penalty: float, seen: Collection[int]) -> list[float]:
    return [
        (x / penalty if x > 0 else x * penalty) if token in seen else x
        for token, x in enumerate(logits)
    ]


def softmax(logits: Sequence[float], temperature: float) -> list[float]:
    powers = [math.exp((x - max(logits)) / temperature) for x in logits]
    return [power / math.fsum(powers) for power in powers]


def by_likelihood(logits: Sequence[float]) -> list[int]:
    """Return the tokens, the likeliest first, of equally likely ones the lower."""
    return sorted(range(len(logits)), key=lambda token: (-logits[token], token))


def only(probabilities: Sequence[float], kept: Collection[int]) -> list[float]:
    """Return the probabilities of the tokens in `kept`, which sum up to one."""
    total = math.fsum(probabilities[token] for token in kept)
    return [p / total if token in kept else 0.0 for token, p in enumerate(probabilities)]


def by_definition(logits: Sequence[float], how: Sampling, seen: Collection[int]) -> list[float]:
    """Return the distribution; reject the example where rounding decides which tokens are kept."""
    logits = penalised(logits, how.repetition_penalty, seen)
    ordered = by_likelihood(logits)
    if how.temperature == 0:
        return [float(token == ordered[0]) for token in range(len(logits))]
    p = softmax(logits, how.temperature)
    if how.top_k:
        p = only(p, ordered[: how.top_k])
    if how.top_p < 1:
        sums = [math.fsum(p[token] for token in ordered[:n]) for n in range(1, len(p) + 1)]
        assume(all(abs(total - how.top_p) > 1e-9 for total in sums))
        count = next(n for n, total in enumerate(sums, 1) if total >= how.top_p)
        p = only(p, ordered[:count])
    most = max(p)
    assume(not any(0 < x < most and math.isclose(x, how.min_p * most) for x in p))
    return only(p, [token for token, x in enumerate(p) if x >= how.min_p * most])


def kept(logits: Sequence[float], how: Sampling, seen: Collection[int] = ()) -> set[int]:
    """Return the tokens that can be drawn."""
    return {int(token) for token in np.flatnonzero(distribution(np.array(logits), how, seen))}


@given(LOGITS, EVERY, SEEN, st.sampled_from(["float32", "float64"]))
@example([0.0, 0.0, 0.0], Sampling(1.0), set(), "float64")
@example([1.0, 1.0], Sampling(1.0, min_p=1.0), set(), "float64")
def test_it_is_what_the_definitions_say(
    logits: list[float], how: Sampling, seen: set[int], dtype: str
) -> None:
    seen = {token for token in seen if token < len(logits)}
    given_logits = np.array(logits, dtype)
    found = distribution(given_logits, how, seen)
    expected = by_definition(logits, how, seen)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert np.array_equal(given_logits, np.array(logits, dtype))  # those of the model, unchanged


@given(LOGITS, EVERY, SEEN)
def test_it_sums_to_one_and_keeps_the_likeliest(
    logits: list[float], how: Sampling, seen: set[int]
) -> None:
    seen = {token for token in seen if token < len(logits)}
    found = distribution(np.array(logits), how, seen)
    assert found.shape == (len(logits),)
    assert found.min() >= 0
    assert math.fsum(found) == pytest.approx(1, abs=1e-12)
    best = by_likelihood(penalised(logits, how.repetition_penalty, seen))[0]
    assert found[best] == found.max() > 0


@given(LOGITS, TEMPERATURE, SEEN)
def test_what_is_off_changes_nothing(
    logits: list[float], temperature: float, seen: set[int]
) -> None:
    """To the bit: the draws of models and seeds from before these fields stay what they were."""
    expected = np.exp((np.array(logits) - max(logits)) / temperature)
    seen = {token for token in seen if token < len(logits)}
    for top_k in (0, len(logits), 10**30):
        found = distribution(np.array(logits), Sampling(temperature, top_k), seen)
        assert np.array_equal(found, expected / expected.sum())


@given(LOGITS, st.integers(1, 35))
def test_top_k_keeps_k_tokens(logits: list[float], k: int) -> None:
    found = kept(logits, Sampling(1.0, top_k=k))
    assert found == set(by_likelihood(logits)[:k])


@given(LOGITS, TEMPERATURE, SHARE)
def test_top_p_keeps_the_smallest_set_that_reaches_p(
    logits: list[float], temperature: float, top_p: float
) -> None:
    assume(top_p < 1)
    p, ordered = softmax(logits, temperature), by_likelihood(logits)
    found = kept(logits, Sampling(temperature, top_p=top_p))
    count = len(found)
    assert found == set(ordered[:count])
    assert math.fsum(p[token] for token in ordered[:count]) >= top_p - 1e-9
    assert count == 1 or math.fsum(p[token] for token in ordered[: count - 1]) < top_p + 1e-9


@given(LOGITS, TEMPERATURE, SHARE)
def test_min_p_keeps_what_is_likely_enough(
    logits: list[float], temperature: float, min_p: float
) -> None:
    p = softmax(logits, temperature)
    found = kept(logits, Sampling(temperature, min_p=min_p))
    assert all(p[token] >= min_p * max(p) - 1e-12 for token in found)
    assert all(
        p[token] < min_p * max(p) + 1e-12 for token in range(len(logits)) if token not in found
    )


def test_ties_are_cut_at_the_lower_tokens() -> None:
    equal = [0.0] * 10
    assert kept(equal, Sampling(1.0, top_k=3)) == {0, 1, 2}
    assert kept([0.0, 2.0, 1.0, 1.0, 1.0], Sampling(1.0, top_k=3)) == {1, 2, 3}
    for tenths in range(1, 10):
        assert kept(equal, Sampling(1.0, top_p=tenths / 10)) == set(range(tenths))
    assert kept(equal, Sampling(1.0, min_p=1.0)) == set(range(10))
    assert kept(equal, Sampling(0)) == {0}


def test_at_least_one_token_is_kept() -> None:
    for how in (Sampling(1.0, top_p=0.0), Sampling(1.0, min_p=1.0), Sampling(1.0, 1, 0.0, 1.0)):
        assert kept([1.0, 3.0, 2.0], how) == {1}
        assert kept([5.0], how) == {0}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        # The penalty comes first: token 0, at 3 / 3, is then the third.
        (Sampling(1.0, top_k=2, repetition_penalty=3.0), {1, 2}),
        # Then the temperature: at 1 the likeliest has 0.58 alone.
        (Sampling(1.0, top_p=0.5), {0}),
        (Sampling(4.0, top_p=0.5), {0, 1}),
        # Then top_k: of the two that it keeps the first has 0.65, of all 0.58.
        (Sampling(1.0, top_p=0.62), {0, 1}),
        (Sampling(1.0, top_k=2, top_p=0.62), {0}),
        # Then top_p, of all: two have 0.900, of the three that min_p keeps they would have 0.904.
        (Sampling(1.0, min_p=0.15), {0, 1, 2}),
        (Sampling(1.0, top_p=0.902, min_p=0.15), {0, 1, 2}),
        (Sampling(1.0, top_p=0.899, min_p=0.15), {0, 1}),
    ],
)
def test_the_order(how: Sampling, expected: set[int]) -> None:
    logits = [3.0, 2.4, 1.2, -2.0]  # at temperature 1: 0.58, 0.32, 0.096, 0.004
    assert kept(logits, how, seen={0} if how.repetition_penalty != 1 else ()) == expected


def test_the_penalty_divides_what_is_above_0_and_multiplies_the_rest() -> None:
    logits = np.array([2.0, -2.0, 0.0, 2.0, -2.0])
    found = np.log(distribution(logits, Sampling(1.0, repetition_penalty=4.0), [0, 1, 2, 0]))
    assert found - found[2] == pytest.approx([0.5, -8.0, 0.0, 2.0, -2.0])
    for seen in ((), set(), range(0)):
        equal = distribution(logits, Sampling(1.0), seen)
        assert np.array_equal(
            distribution(logits, Sampling(1.0, repetition_penalty=4.0), seen), equal
        )


# Draws.


@given(LOGITS, EVERY, SEEN, st.integers(0, 2**23 - 1))
@example([0.0, -700.0], Sampling(1.0), set(), 2**23 - 1)
@example([-700.0, 0.0], Sampling(1.0), set(), 0)
def test_a_draw_is_where_the_sum_of_probabilities_reaches_the_number(
    logits: list[float], how: Sampling, seen: set[int], number: int
) -> None:
    seen = {token for token in seen if token < len(logits)}
    u = (2 * number + 1) * 2.0**-24  # any that Draws gives
    p = distribution(np.array(logits), how, seen)
    token = draw(np.array(logits), how, Fixed(u), seen)
    assert p[token] > 0
    assert math.fsum(p[:token]) - 1e-12 <= u <= math.fsum(p[: token + 1]) + 1e-12


@pytest.mark.parametrize(
    "how",
    [
        Sampling(1.0),
        Sampling(2.0, top_k=4),
        Sampling(0.7, top_p=0.8),
        Sampling(3.0, min_p=0.3),
        Sampling(1.5, 5, 0.95, 0.05, 1.3),
    ],
)
def test_draws_follow_the_distribution(how: Sampling) -> None:
    """Numbers evenly spaced give each token in proportion; random ones to five deviations."""
    logits, seen = np.array([0.3, 2.0, -1.0, 1.1, 0.0, 1.1, 2.2]), {1, 2, 6}
    p = distribution(logits, how, seen)
    count = 2**12
    spaced = [draw(logits, how, Fixed((2 * i + 1) / 2 / count), seen) for i in range(count)]
    assert (abs(np.bincount(spaced, minlength=7) - count * p) <= 1).all()
    draws = Draws(1)
    drawn = np.bincount([draw(logits, how, draws, seen) for _ in range(count)], minlength=7)
    assert (abs(drawn - count * p) <= 5 * np.sqrt(count * p * (1 - p))).all()


@given(LOGITS, TOP_K, SHARE, SHARE, PENALTY, SEEN)
def test_temperature_0_is_greedy_with_any_other_field(
    logits: list[float], k: int, top_p: float, min_p: float, penalty: float, seen: set[int]
) -> None:
    """The penalty still counts; without it, it is the largest logit."""
    seen = {token for token in seen if token < len(logits)}
    for zero in (0, 0.0):
        how = Sampling(zero, k, top_p, min_p, penalty)
        best = by_likelihood(penalised(logits, penalty, seen))[0]
        assert draw(np.array(logits), how, NoDraws(), seen) == best
        assert kept(logits, how, seen) == {best}
        how = Sampling(zero, k, top_p, min_p)
        assert draw(np.array(logits), how, NoDraws(), seen) == int(np.argmax(logits))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("temperature", [0, 1e-320, 1e-30, 1.0, 100.0])
def test_logits_of_any_size(dtype: str, penalty: float, temperature: float) -> None:
    most = float(np.finfo(dtype).max) / 1000
    how = Sampling(temperature, 2, 0.9, 0.1, penalty)
    for logits in ([most, -most, 0.0], [-most, -most, -most], [most, most, 1.0]):
        p = distribution(np.array(logits, dtype), how, {0})
        assert p.sum() == pytest.approx(1)
    for odd in (math.nan, math.inf, -math.inf):
        with pytest.raises(SamplingError, match="the logits are not finite"):
            distribution(np.array([1.0, odd], dtype), how, {1})


# What is out of range.

WRONG = [
    *(
        (name, value)
        for name, (least, largest) in LIMITS.items()
        for value in (least - 1e-6, largest + 1e-6, math.nan, math.inf, -math.inf)
    ),
    *(("top_k", value) for value in (-1, 2.0, True, math.nan)),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: float) -> None:
    least, largest = LIMITS.get(name, (0.0, 0.0))
    numbers = f"a number from {least:g} to {largest:g}" if largest else "a whole number from 0 on"
    with pytest.raises(SamplingError) as refused:
        Sampling(**{name: value})
    assert str(refused.value) == f"{name} must be {numbers}, not {value!r}"
    model = microgpt.create(microgpt.ModelConfig(n_embd=4))
    with pytest.raises(SamplingError) as again:
        microgpt.generate(model, **{name: value})
    assert str(again.value) == str(refused.value)


def test_the_ends_of_the_ranges_are_taken() -> None:
    assert {*LIMITS, "top_k"} == {field.name for field in fields(Sampling)}
    for name, ends in LIMITS.items():
        for value in ends:
            assert getattr(Sampling(**{name: value}), name) == value
    parameters = inspect.signature(microgpt.generate).parameters
    assert all(parameters[field.name].default == field.default for field in fields(Sampling))
    assert Sampling().only_temperature
    assert Sampling(0).only_temperature
    assert not any(
        Sampling(**{name: value}).only_temperature
        for name, value in (("top_k", 1), ("top_p", 0.9), ("min_p", 0.1), ("repetition_penalty", 2))
    )
