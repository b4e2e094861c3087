"""The lines of the log, as a board prints them."""

from ugpt import board, report
from ugpt.layout import Sizes
from ugpt.model import Model
from ugpt.training import Training
from ugpt.version import __version__

from tests.support.micropython.checkpoints import Names


def printed(action):
    """Return what `action`, called with a new report, prints, a text a line."""
    lines = []
    report.print = lambda *words: lines.append(" ".join(words))
    try:
        action(report.Report(10))
    finally:
        del report.print
    return lines


def first_remark(**sizes):
    training = Training(Names(), seed=7, steps=30, model=Model(Sizes(**sizes)))
    (line,) = printed(lambda it: it.start(training, "self-check-passed"))
    return line


def test_the_first_remark_of_the_default_model():
    assert first_remark() == (
        "# microgpt-esp32 %s board:%s kernels:portable reason:self-check-passed"
        " seed:7 parameters:4192 steps:30 data:20" % (__version__, board.description())
    )


def test_sizes_that_are_not_the_default_end_the_first_remark():
    line = first_remark(n_embd=4, n_layer=2)
    assert line.endswith(" parameters:664 steps:30 data:20 n_embd:4 n_layer:2")
    line = first_remark(
        vocab_size=30,
        n_embd=6,
        n_head=3,
        n_layer=2,
        block_size=8,
        tie_lm_head=True,
        input_rmsnorm=False,
    )
    assert line.endswith(
        " steps:30 data:20"
        " vocab_size:30 n_embd:6 n_head:3 n_layer:2 block_size:8 tie_lm_head:1 input_rmsnorm:0"
    )


def test_a_name_is_logged_as_it_is():
    for name in (
        "",
        "emma",
        "Zürich (ZH)",
        " a b ",
        "C/C=C\\C",
        "\u4eac\u90fd",
        "\U0001f43f\ufe0f\u200d\U0001f525",
    ):
        assert printed(lambda it, name=name: it.name(name)) == ["name:" + name]


def test_what_drives_a_terminal_is_escaped():
    name = "a\x1b[2Jb\r\nc\x7f\x9b5n\u2028\u202e\u2069\u200f"
    shown = r"name:a\x1b[2Jb\x0d\x0ac\x7f\x9b5n\u2028\u202e\u2069\u200f"
    assert printed(lambda it: it.name(name)) == [shown]


def test_a_remark_is_one_line_that_drives_no_terminal():
    report.print = lambda *words: lines.append(" ".join(words))
    lines = []
    try:
        report.remark("ugpt.json: no setting is called \x1b[2J\nname:emma; Zürich is")
    finally:
        del report.print
    assert lines == [r"# ugpt.json: no setting is called \x1b[2J\x0aname:emma; Zürich is"]
