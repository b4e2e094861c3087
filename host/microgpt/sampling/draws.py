"""Random numbers: SplitMix64, of which each document of a seed has its own."""

WORD = 2**64 - 1
GAMMA = 0x9E3779B97F4A7C15


def mix(z: int) -> int:
    """Return the mix of 64 bits that SplitMix64 makes its numbers with (Steele et al., 2014)."""
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & WORD
    z = (z ^ z >> 27) * 0x94D049BB133111EB & WORD
    return z ^ z >> 31


def folded_seed(seed: int) -> int:
    """Return 64 bits in which every bit of a seed, from 0 on, counts; a shorter seed is itself."""
    folded = 0
    for shift in reversed(range(0, seed.bit_length(), 64)):
        folded = mix(folded) ^ seed >> shift & WORD
    return folded


class Draws:
    """The random numbers of one document, which depend on the seed and on the document's number.

    Documents can therefore be computed in any order, and many at once. Document i has a SplitMix64
    of its own, which begins at number i of the one that begins at the seed. Engine "native" has the
    same in C.
    """

    def __init__(self, seed: int, document: int = 0) -> None:
        self._state = mix(folded_seed(seed) + (document + 1) * GAMMA & WORD)

    def random(self) -> float:
        """Return the next number: one of the odd multiples of 2**-24 between 0 and 1.

        A float32 holds it. It is never 0, so that a token of probability 0 is never drawn.
        """
        self._state = self._state + GAMMA & WORD
        return (mix(self._state) >> 41 << 1 | 1) * 2.0**-24
