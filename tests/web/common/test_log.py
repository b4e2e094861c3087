"""The page's reader of the log: the recorded cases, and anything else, as the tools read them."""

import random
from typing import Any

from microgpt.config import ModelConfig
from microgpt_board.device.log import LONGEST_NAME, Name, Start
from microgpt_board.site.log_rules import rules
from ugpt.layout import SIZES, parameter_count

from tests.support.log_cases import CAPTURE, cases, read
from tests.support.web.node import call, evaluate

READ = """
    const { Lines, parse } = await load("common/log.js");
    const [rules, streams] = args;
    return streams.map((chunks) => {
      const reader = new Lines(rules);
      const lines = chunks.flatMap((chunk) => reader.push(chunk));
      const named = (value) => (Number.isNaN(value) ? "nan" : value === Infinity ? "inf" : value);
      const events = lines.map((line) => {
        const event = parse(line, rules);
        return event?.kind === "step"
          ? { ...event, loss: named(event.loss), mean: named(event.mean) }
          : event;
      });
      return { lines, events };
    });"""
STEP = b"step:100 loss:2.4193 mean:2.5120 lr:0.00900 ms:3.1 free:81234"


def read_in_js(streams: list[list[bytes]]) -> list[dict[str, Any]]:
    """What the page makes of each of these streams of chunks."""
    found: list[dict[str, Any]] = evaluate(READ, rules(), streams)
    return found


def test_the_recorded_cases() -> None:
    wanted = cases()
    found = read_in_js([[part.encode("latin-1") for part in case["chunks"]] for case in wanted])
    for case, result in zip(wanted, found, strict=True):
        assert result == {"lines": case["lines"], "events": case["events"]}, case["case"]


def test_the_capture_of_a_board_however_it_is_chopped() -> None:
    data = CAPTURE.read_bytes()
    streams = [[data[i : i + size] for i in range(0, len(data), size)] for size in (1, 7, 64, 9999)]
    for found in read_in_js(streams):
        assert found == read([data])


def test_any_bytes_are_read_as_the_tools_read_them() -> None:
    draw = random.Random(14)
    data = CAPTURE.read_bytes() + b"name:Z\xc3\xbcrich \xf0\x9f\x90\xbf\xe2\x80\xa8\n# \xff\n" * 9

    def damaged(part: bytes) -> bytes:
        """A byte changed, lost, doubled; or a whole piece."""
        at, end = sorted(draw.choices(range(len(part)), k=2))
        new = draw.choice([b"", b"\n", b"\r", draw.randbytes(draw.randrange(9)), part[at:end] * 2])
        return part[:at] + new + part[draw.choice([at, at + 1, end]) :]

    streams = []
    for _ in range(600):
        start = draw.randrange(len(data) - 400)
        part = data[start : start + draw.randrange(2, 400)]
        for _ in range(draw.randrange(4)):
            part = damaged(part) or b"x"
        cuts = sorted(draw.choices(range(len(part) + 1), k=draw.randrange(4)))
        chunks = zip([0, *cuts], [*cuts, None], strict=True)
        streams.append([part[first:last] for first, last in chunks] + [b"\n"])
    streams += [[draw.randbytes(draw.randrange(3000)), b"\n"] for _ in range(100)]
    for stream, found in zip(streams, read_in_js(streams), strict=True):
        assert found == read(stream), stream


def test_the_number_of_parameters_of_any_sizes() -> None:
    draw = random.Random(15)
    models = []
    for _ in range(300):
        n_head = draw.randint(1, 64)
        switches = draw.random() < 0.5, draw.random() < 0.5
        widths = n_head * draw.randint(1, 16), n_head
        models.append(ModelConfig(*widths, draw.randint(1, 64), draw.randint(1, 256), *switches))
    sizes = [model.sizes(draw.randint(1, 255)) for model in models]
    numbers = [{name: int(getattr(each, name)) for name in SIZES} for each in sizes]
    code = """
        const { parameterCount } = await load("common/log.js");
        return args[1].map((sizes) => parameterCount(sizes, args[0]));"""
    assert evaluate(code, rules(), numbers) == [parameter_count(each) for each in sizes]


def test_which_names_a_model_can_generate() -> None:
    start = Start("1", "esp32", "native", "ok", 42, 4192, 10, 9)
    texts = ["", "a" * 16, "a" * 17, "\U0001f43f" * 16, "\U0001f43f" * 17, r"\x1b\u2028" * 8]
    texts += [r"\x1b\u2028" * 8 + "a", "\\" * LONGEST_NAME]
    code = """
        const { canGenerate } = await load("common/log.js");
        const start = { model: { block_size: 16 } };
        return args[0].map((text) => canGenerate(start, { kind: "name", text }));"""
    assert evaluate(code, texts) == [start.can_generate(Name(text)) for text in texts]


def test_a_byte_that_is_not_utf_8_is_shown() -> None:
    assert call("common/log.js", "legible", "no \udcffsuch ü\udc80") == r"no \xffsuch ü\x80"
