"""Random numbers that a test chooses, or forbids."""

from microgpt.sampling import Draws


class Fixed(Draws):
    """A random number that is always the same."""

    def __init__(self, number: float) -> None:
        self.random = lambda: number  # type: ignore[method-assign]


class NoDraws(Draws):
    """Random numbers that must not be asked for."""

    def __init__(self) -> None:
        pass

    def random(self) -> float:
        raise AssertionError("a random number was drawn")
