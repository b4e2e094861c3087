"""The random numbers of a run, all of them from one 32-bit state."""

from math import cos, log, pi, sqrt

TWO_TO_24 = 16777216  # an int: MicroPython reads the floats of an .mpy from decimals, not exactly


class Rng:
    """xorshift32 (Marsaglia, "Xorshift RNGs", 2003; shifts 13, 17, 5) and draws made from it.

    `state` is all there is: a generator with the same state goes on with the same stream. It is
    kept in halves of 16 bits, since a board makes an object of every int above 30.
    """

    def __init__(self, seed):
        """Start from `seed`, 1 to 2**32 - 1; raise ValueError for any other."""
        if not 0 < seed <= 0xFFFFFFFF:
            raise ValueError("seed must be 1 to 4294967295, not %d" % seed)
        self.state = seed

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
        """Return the next state, an int from 1 to 2**32 - 1."""
        self._advance()
        return self.state

    def uniform(self):
        """Return a float in [0, 1), a multiple of 2**-24 and so exact in single precision."""
        self._advance()
        return (self._high << 8 | self._low >> 8) / TWO_TO_24

    def below(self, count):
        """Return `next() % count`, an int in [0, count). Its bias is below count / 2**32."""
        self._advance()
        upper = (self._high << 8 | self._low >> 8) % count
        return (upper << 8 | self._low & 0xFF) % count

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
