"""What several tests share; runs in MicroPython too."""

from array import array

from ugpt import ops
from ugpt.rng import Rng

NAN = float("nan")


def raises(error, function, *arguments):
    """Return whether the call raises `error`."""
    try:
        function(*arguments)
    except error:
        return True
    return False


def message(function, *arguments):
    """Return the text of the ValueError that the call raises."""
    try:
        function(*arguments)
    except ValueError as error:
        return str(error)
    raise AssertionError("no ValueError")


def floats(values):
    """Return a handle for `values` as array('f')."""
    values = array("f", values)
    return ops.view(values, 0, len(values))


def noise(count, seed=1, scale=1.0):
    """Return a handle for `count` draws from N(0, scale)."""
    rng = Rng(seed)
    return floats(scale * rng.gauss() for _ in range(count))


def unset(count):
    """Return a handle for `count` NaNs: what a kernel must not read before it has written."""
    return floats(NAN for _ in range(count))


def close(found, expected, tolerance=1e-5):
    """Return whether all of `found` lies within `tolerance` times the largest of `expected`."""
    limit = tolerance * max(1e-30, max(abs(v) for v in expected))
    return len(found) == len(expected) and all(abs(a - b) <= limit for a, b in zip(found, expected))
