"""The random numbers of a run, all of them from one 32-bit state."""

from math import cos, log, pi, sqrt

_TO_UNIT = 1.0 / 16777216.0  # 2**-24: the 24 bits of a float32's mantissa


class Rng:
    """xorshift32 (Marsaglia, "Xorshift RNGs", 2003; shifts 13, 17, 5) and draws made from it.

    `state` is all there is: a generator with the same state goes on with the same stream.
    """

    def __init__(self, seed):
        """Start from `seed`, 1 to 2**32 - 1; raise ValueError for any other."""
        if not 0 < seed <= 0xFFFFFFFF:
            raise ValueError("seed must be 1 to 4294967295, not %d" % seed)
        self.state = seed

    def next(self):
        """Return the next state, an int from 1 to 2**32 - 1."""
        x = self.state
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
        self.state = x
        return x

    def uniform(self):
        """Return a float in [0, 1), a multiple of 2**-24 and so exact in single precision."""
        return (self.next() >> 8) * _TO_UNIT

    def below(self, count):
        """Return an int in [0, count). The bias of the remainder is below count / 2**32."""
        return self.next() % count

    def gauss(self):
        """Return a draw from N(0, 1) (Box & Muller, 1958).

        The second draw that the method offers is not kept, so that `state` stays all there is.
        """
        radius = sqrt(-2.0 * log(1.0 - self.uniform()))
        return radius * cos(2.0 * pi * self.uniform())

    def draw(self, weights, count):
        """Return an index in [0, count), i with a chance of weights[i] / sum(weights[:count])."""
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
                last = i  # rounding can carry the point past the end; never draw a zero weight
        return last
