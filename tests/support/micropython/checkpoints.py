"""What the tests of checkpoints share; runs in MicroPython too."""

from array import array

from ugpt.checkpoint import arrays_of, header_of
from ugpt.layout import Sizes
from ugpt.tokenizer import Tokenizer


class Names:
    """Twenty documents, as `ugpt.dataset` offers them."""

    count = 20
    crc = 0xCAFE0000
    record_size = 16
    tokenizer = Tokenizer()

    def read_into(self, index, tokens):
        n = index % 7 + 2
        for t in range(n):
            tokens[t] = (index * t) % 27
        return n


class Attributes:
    """Whatever is given to it."""

    def __init__(self, **given):
        for name in given:
            setattr(self, name, given[name])


class Silent:
    """A report of nothing, and Ctrl-C after step `stop_after`."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after

    def step(self, step, *others):
        if step == self.stop_after:
            raise KeyboardInterrupt


def small(step=0, steps=100, scale=1.0, count=20, switches=(), **other):
    """Return a run of `count` parameters: all that a checkpoint takes from one."""
    sizes = Sizes(1, 1, 1, 1, 1, *switches)
    first = step * count
    params, m, v = [
        array("f", (scale * (first + i) + k for i in range(count))) for k in (0.25, 0.5, 0.75)
    ]
    run = Attributes(
        model=Attributes(sizes=sizes, params=params),
        adam=Attributes(m=m, v=v),
        dataset=Names(),
        rng=Attributes(state=1),
        seed=42,
        steps=steps,
        lr=0.5,
        step=step,
        rng_state=4000000000 + step,
        origin=0,
        updating=False,
    )
    for name in other:
        setattr(run, name, other[name])
    return run


def state(training):
    """Return everything that the next step depends on, as bytes."""
    values = header_of(training)
    return b"".join(bytes(a) for a in arrays_of(training)) + repr(sorted(values.items())).encode()
