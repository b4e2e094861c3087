"""The random numbers of a run, all from one generator with a state of 32 bits."""

from math import cos, log, pi, sqrt

TWO_TO_24 = 16777216  # an int: MicroPython parses the floats in an .mpy from decimals, inexactly


def mixed(seed):
    """Return `seed`, 32 bits, with each bit spread over all 32; only 0 gives 0.

    The finalizer of MurmurHash3 (Appleby, 2011; fmix32), a bijection.
    """
    seed ^= seed >> 16
    seed = seed * 0x85EBCA6B & 0xFFFFFFFF
    seed ^= seed >> 13
    seed = seed * 0xC2B2AE35 & 0xFFFFFFFF
    return seed ^ seed >> 16


class Rng:
    """xorshift32 (Marsaglia, "Xorshift RNGs", 2003; shifts 13, 17, 5) and draws made from it.

    `state` is the whole state: two generators with the same one give the same numbers. It is
    stored in halves of 16 bits, since a board allocates an object for an int of more than 30 bits.
    """

    def __init__(self, seed):
        """Start from `seed`, 1 to 2**32 - 1, mixed; raise ValueError for any other.

        Unmixed, a small seed leaves most bits of the first draws 0: over the seeds 1 to 1,000 the
        first Gaussian draw had a standard deviation of 0.18.
        """
        if not 0 < seed <= 0xFFFFFFFF:
            raise ValueError("seed must be 1 to 4294967295, not %d" % seed)
        self.state = mixed(seed)

    @property
    def state(self):
        return self._high << 16 | self._low

    @state.setter
    def state(self, value):
        self._high = value >> 16
        self._low = value & 0xFFFF

    def _advance(self):
        high = self._high
        low = self._low
        high ^= (high << 13 | low >> 3) & 0xFFFF  # x ^= x << 13
        low ^= low << 13 & 0xFFFF
        low ^= high >> 1  # x ^= x >> 17
        high ^= (high << 5 | low >> 11) & 0xFFFF  # x ^= x << 5
        low ^= low << 5 & 0xFFFF
        self._high = high
        self._low = low

    def next(self):
        """Return the next state as an int from 1 to 2**32 - 1."""
        self._advance()
        return self.state

    def uniform(self):
        """Return a float in [0, 1), a multiple of 2**-24 and so exact in single precision."""
        self._advance()
        return (self._high << 8 | self._low >> 8) / TWO_TO_24

    def below(self, count):
        """Return `next() % count`, an int in [0, count), with a bias below count / 2**32."""
        self._advance()
        upper = (self._high << 8 | self._low >> 8) % count
        return (upper << 8 | self._low & 0xFF) % count

    def gauss(self):
        """Return a draw from N(0, 1) (Box & Muller, 1958).

        The method's second draw is not kept: it would be a state besides `state`.
        """
        radius = sqrt(-2.0 * log(1.0 - self.uniform()))
        return radius * cos(2.0 * pi * self.uniform())

    def draw(self, weights, count):
        """Return an index i in [0, count) with probability weights[i] / sum(weights[:count])."""
        total = 0.0
        for i in range(count):
            total += weights[i]
        point = self.uniform() * total
        last = 0
        for i in range(count):
            weight = weights[i]
            if weight > 0.0:
                if point < weight:
                    return i
                point -= weight
                last = i  # if rounding puts the point past the end; never an index of weight 0
        return last
