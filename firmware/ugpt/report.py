"""The log of a run: a line for each event, key:value pairs and spaces; remarks begin with `#`."""

from . import board
from .layout import unusual
from .version import __version__

# Code points, first and last: control characters, separators of lines, marks of direction.
DRIVING = (
    (0, 31),
    (127, 159),
    (0x61C, 0x61C),
    (0x200E, 0x200F),
    (0x2028, 0x202E),
    (0x2066, 0x2069),
)


def escaped(text):
    r"""Return `text` with what ends a line or drives a terminal as escapes, `\x1b` or `\u2028`.

    A backslash stays as it is: the escapes are to be shown, not to be read back.
    """
    return "".join(map(_escaped, text))


def _escaped(character):
    code = ord(character)
    for first, last in DRIVING:
        if first <= code <= last:
            return ("\\x%02x" if code < 256 else "\\u%04x") % code
    return character


def remark(text):
    """Log a remark, a line for people; what it quotes of a file cannot drive a terminal."""
    print("#", escaped(text))


class Report:
    """Logs every `log_every`th step and the last one, with the mean loss since the line before."""

    def __init__(self, log_every):
        self.log_every = log_every
        self._losses = 0.0
        self._us = 0
        self._steps = 0

    def start(self, training, reason):
        """Log the first remark: what this run is; `reason` says why its kernels were chosen."""
        model = training.model
        line = (
            "microgpt-esp32 %s board:%s kernels:%s reason:%s seed:%d parameters:%d steps:%d data:%d"
            % (
                __version__,
                board.description(),
                model.kernels.NAME,
                reason,
                training.seed,
                len(model.params),
                training.steps,
                training.dataset.count,
            )
        )
        for field in unusual(model.sizes):
            line += " %s:%d" % field
        remark(line)

    def step(self, step, steps, loss, lr, us):
        """Count a step that took `us` microseconds; log it if a line is due."""
        self._losses += loss
        self._us += us
        self._steps += 1
        if step % self.log_every and step + 1 < steps:
            return
        print(
            "step:%d loss:%.4f mean:%.4f lr:%.5f ms:%.1f free:%d"
            % (
                step,
                loss,
                self._losses / self._steps,
                lr,
                self._us / 1000 / self._steps,
                board.free_memory(),  # takes long: not at each step
            )
        )
        self._losses = 0.0
        self._us = 0
        self._steps = 0

    def name(self, text):
        """Log a generated name, on one line and without what could drive a terminal."""
        print("name:" + escaped(text))
