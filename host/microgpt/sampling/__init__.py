"""Sampling: how a token is drawn, and what draws one after another.

The commands generate and chat and the service all use these, and so have the same limits.
"""

from microgpt.sampling.distribution import (
    HELP,
    LIMITS,
    Sampling,
    SamplingError,
    distribution,
    draw,
)
from microgpt.sampling.documents import (
    Decoder,
    Drawn,
    continued,
    folded_prompt,
    generate,
    generated,
    stream_document,
)
from microgpt.sampling.draws import Draws

__all__ = [
    "HELP",
    "LIMITS",
    "Decoder",
    "Drawn",
    "Draws",
    "Sampling",
    "SamplingError",
    "continued",
    "distribution",
    "draw",
    "folded_prompt",
    "generate",
    "generated",
    "stream_document",
]
