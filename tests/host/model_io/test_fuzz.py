"""The reader of safetensors files on damaged ones: each is one line, and none takes memory."""

import json
import os
import resource
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import microgpt
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from microgpt import UserError, model_io
from microgpt.runs import checkpoint
from microgpt.system.terminal import printable

EXAMPLES = int(os.environ.get("FUZZ", 60))  # of each test
FUZZED = settings(
    max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MOST_PYTHON = 1_500_000  # bytes of Python and NumPy, for a file of three thousand
MOST_PROCESS = 64 << 10  # KB that the process may have grown by, the library's memory too

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)
whole = st.integers(-1, 1 << 64) | st.sampled_from([0, 2**31, 2**53, 2**63 - 1, 2**64 - 1, 10**40])
kinds = st.sampled_from(["F32", "F64", "F16", "BF16", "F8_E4M3", "F4", "I64", "BOOL", "C64", "X"])


@pytest.fixture(scope="module")
def good() -> bytes:
    """A checkpoint, which has all that can be damaged."""
    config = microgpt.ModelConfig(n_embd=2, n_head=1, block_size=2)
    model = microgpt.create(config, "ab", engine="tensor")
    facts = {"step": 2, "processes": 1, "engine": "tensor", "dtype": "float32", "train": {}}
    meta = model_io.tensor_file.Meta(config, model.tokenizer)
    return model_io.tensor_file.content(meta, model.weights, model.moments, facts)


def parts(content: bytes) -> tuple[dict, bytes]:
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def whole_file(header: object, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def check(folder: Path, content: bytes) -> None:
    """Read a damaged file as a model and as a checkpoint: it is one, or refused in a line."""
    path = folder / checkpoint.FILE
    path.write_bytes(content)
    (folder / "model.safetensors").write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    readers: list[tuple[Callable[[Path], object], Path]] = [
        (model_io.read, path),
        (model_io.read, folder),
        (checkpoint.load, folder),
    ]
    tracemalloc.start()
    try:
        for read, place in readers:
            try:
                read(place)
            except UserError as error:
                assert str(error).startswith(str(folder))
                assert str(error) == printable(str(error))  # so it is one line
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < MOST_PYTHON
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_PROCESS


def test_what_is_not_damaged_is_read(tmp_path: Path, good: bytes) -> None:
    check(tmp_path, good)
    assert model_io.read(tmp_path / checkpoint.FILE)[0].n_embd == 2
    assert checkpoint.load(tmp_path).step == 2


@FUZZED
@given(data=st.data())
def test_bytes(tmp_path: Path, good: bytes, data: st.DataObject) -> None:
    """Bytes are changed, put in, taken out, and the end is cut off."""
    content = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)) | st.integers(0, 20))
        length = data.draw(st.sampled_from([0, 1, 1, 8, 1000]))
        content[start : start + length] = data.draw(st.binary(max_size=9))
    check(tmp_path, bytes(content))


@FUZZED
@given(length=st.integers(0, (1 << 64) - 1) | st.integers(0, 4000))
@example(length=(1 << 64) - 1)
@example(length=1 << 63)
@example(length=100_000_000)
def test_the_length_of_the_header(tmp_path: Path, good: bytes, length: int) -> None:
    check(tmp_path, struct.pack("<Q", length) + good[8:])


@FUZZED
@given(text=st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
@example(text=b"[" * 100_000)
@example(text=b'{"a":' * 100_000)
@example(text=b'{"__metadata__":{"microgpt":1}}')
def test_the_header(tmp_path: Path, good: bytes, text: bytes) -> None:
    check(tmp_path, struct.pack("<Q", len(text)) + text + parts(good)[1])


@FUZZED
@given(data=st.data())
def test_names_types_shapes_and_offsets(tmp_path: Path, good: bytes, data: st.DataObject) -> None:
    """Of any kind and size: offsets that overlap, leave holes, run backwards or leave the file."""
    header, tensors = parts(good)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(header.keys() - {"__metadata__"})))
        change = data.draw(st.sampled_from(["name", "gone", "any", "dtype", "shape", "offsets"]))
        if change == "gone":
            del header[name]
        elif change == "name":
            header[data.draw(st.text(max_size=20) | st.sampled_from(sorted(header)))] = header[name]
        elif change == "any":
            header[name] = data.draw(json_values)
        elif isinstance(header[name], dict):
            values = st.lists(whole, max_size=4) | st.lists(st.integers(0, 9), max_size=70)
            value = data.draw(kinds | json_values if change == "dtype" else values | json_values)
            key = "data_offsets" if change == "offsets" else change
            header[name][key] = value
            if change != "offsets" and data.draw(st.booleans()):  # so that the shape decides
                header[name].pop("data_offsets", None)
    check(tmp_path, whole_file(header, tensors))


@FUZZED
@given(data=st.data())
def test_metadata(tmp_path: Path, good: bytes, data: st.DataObject) -> None:
    """What a model and a run are is anything: sizes without end, another tokenizer, no object."""
    header, tensors = parts(good)
    about = json.loads(header["__metadata__"]["microgpt"])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from([about, about.get("checkpoint")]))
        target = place if isinstance(place, dict) else about
        known = [*about, "tokenizer", "model", "step", "processes", "engine", "dtype", "train"]
        key = data.draw(st.sampled_from(known))
        engines = st.sampled_from(["native", "scalar", "torch", "bfloat16", "float64"])
        target[key] = data.draw(whole | engines | json_values)
    text = data.draw(st.just(json.dumps(about)) | st.text() | json_values.map(json.dumps))
    header["__metadata__"] = {"microgpt": text}
    check(tmp_path, whole_file(header, tensors))
