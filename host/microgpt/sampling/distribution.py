"""How a token is drawn: temperature, top_k, top_p, min_p, a penalty on what occurred."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from microgpt.errors import UserError
from microgpt.model_io import Array
from microgpt.sampling.draws import Draws

LIMITS = {  # of the fields of Sampling that are numbers: the least and the largest
    "temperature": (0.0, 100.0),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 100.0),
}
HELP = {  # a line about each field
    "temperature": "0: greedy, the likeliest token.",
    "top_k": "Draw from this many tokens, the likeliest; 0: from all.",
    "top_p": "Draw from the likeliest, up to this sum of probabilities; 1: from all.",
    "min_p": "Draw from those at least this many times as likely as the likeliest; 0: from all.",
    "repetition_penalty": "Above 1: what occurred is less likely; 1: off.",
}
NOT_FINITE = "the logits are not finite: train the model again, with a lower lr"


class SamplingError(UserError):
    """A field of Sampling, a prompt's length, a number of samples or a logit is out of range."""


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn; HELP says what each field does, and `distribution` applies them.

    Raises SamplingError, which names the field, for a value out of range. The defaults but for the
    temperature change nothing.
    """

    temperature: float = 0.5
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        for name, (least, largest) in LIMITS.items():
            value = getattr(self, name)
            if not least <= value <= largest:
                raise SamplingError(
                    f"{name} must be a number from {least:g} to {largest:g}, not {value!r}"
                )
        if type(self.top_k) is not int or self.top_k < 0:
            raise SamplingError(f"top_k must be a whole number from 0 on, not {self.top_k!r}")

    @property
    def only_temperature(self) -> bool:
        """Whether all fields but the temperature are off."""
        return self == Sampling(self.temperature)


def draw(logits: Array, sampling: Sampling, draws: Draws, seen: Collection[int] = ()) -> int:
    """Return a token drawn from `distribution`, `logits` being (vocab_size,).

    At temperature 0 it is the likeliest token, and no random number is drawn. Raises SamplingError
    if a logit is not finite.
    """
    scores = _scores(logits, sampling, seen)
    if sampling.temperature == 0:
        return int(scores.argmax())
    cumulative = _weights(scores, sampling).cumsum()
    return int(cumulative.searchsorted(draws.random() * cumulative[-1]))


def distribution(logits: Array, sampling: Sampling, seen: Collection[int] = ()) -> Array:
    """Return the probabilities that tokens are drawn with, (vocab_size,), `logits` being as many.

    The fields of `sampling` are applied in this order, that of Hugging Face's transformers:

    - repetition_penalty (Keskar et al., 2019) divides a logit above 0 of a token in `seen`, and
      multiplies any other logit of these;
    - temperature divides the logits, and their softmax is what follows; at 0 all is on the largest
      logit;
    - top_k (Fan et al., 2018) keeps that many tokens, the likeliest;
    - top_p (Holtzman et al., 2020) keeps the smallest set of the likeliest whose probabilities,
      with those that top_k removed at 0, sum up to at least top_p;
    - min_p (Nguyen et al., 2024) keeps what is at least min_p times as likely as the likeliest.

    Of equally likely tokens the lower comes first. The likeliest is always kept. Raises
    SamplingError if a logit is not finite.
    """
    scores = _scores(logits, sampling, seen)
    if sampling.temperature == 0:
        weights: Array = np.zeros(len(scores))
        weights[scores.argmax()] = 1
    else:
        weights = _weights(scores, sampling)
    probabilities: Array = weights / weights.sum()
    return probabilities


def _scores(logits: Array, sampling: Sampling, seen: Collection[int]) -> Array:
    """Return the logits in float64 after the repetition penalty; raise SamplingError."""
    scores = np.array(logits, dtype=float)
    if sampling.repetition_penalty != 1:
        tokens = np.fromiter(seen, int)
        occurred = scores[tokens]
        penalty = sampling.repetition_penalty
        with np.errstate(over="ignore"):
            scores[tokens] = np.where(occurred > 0, occurred / penalty, occurred * penalty)
    if not np.isfinite(scores).all():
        raise SamplingError(NOT_FINITE)
    return scores


def _weights(scores: Array, sampling: Sampling) -> Array:
    """Return the probabilities at a temperature above 0, all divided by the largest of them."""
    # At a temperature close to 0 a score overflows to -inf, whose exp is 0, as it should be.
    with np.errstate(over="ignore"):
        weights: Array = np.exp((scores - scores.max()) / sampling.temperature)
    if sampling.top_k or sampling.top_p < 1:
        likeliest = np.argsort(-scores, kind="stable")
        if sampling.top_k:
            weights[likeliest[sampling.top_k :]] = 0
        if sampling.top_p < 1:
            reached = weights[likeliest].cumsum()
            last = reached.searchsorted(sampling.top_p * reached[-1])
            weights[likeliest[last + 1 :]] = 0
    weights[weights < sampling.min_p] = 0
    return weights
