"""A model.safetensors: what is in it, and every malformed file refused in one line, for nothing."""

import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import microgpt
import numpy as np
import pytest
from microgpt import ModelFolderError, memory
from microgpt.model_io import tensor_file
from safetensors import safe_open
from safetensors.numpy import load_file, save_file


@pytest.fixture
def model() -> microgpt.Model:
    config = microgpt.ModelConfig(n_embd=6, n_head=2, n_layer=2, block_size=3)
    return microgpt.create(config, "xyzé", special_tokens=["<|user|>"], engine="tensor")


def header_of(path: Path) -> tuple[dict, bytes]:
    """Return the header of a file and the bytes behind it."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def write(path: Path, header: dict | bytes, data: bytes) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.mark.parametrize("engine", ["tensor", "scalar"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", ["folder", "file.safetensors"])
def test_what_is_saved_is_loaded(tmp_path: Path, engine: str, tied: bool, name: str) -> None:
    config = microgpt.ModelConfig(n_embd=6, n_head=2, n_layer=2, block_size=3, tie_lm_head=tied)
    model = microgpt.create(config, "xé\u4e2d", 7, engine, "float64", ["<|user|>"])
    model.save(tmp_path / name, format="safetensors")
    again = microgpt.load(tmp_path / name, engine=engine, dtype="float64")
    assert again.config == config
    assert again.tokenizer.charset == "xé\u4e2d"
    assert again.tokenizer.special_tokens == ("<|user|>",)
    for matrix, same in zip(model.weights.values(), again.weights.values(), strict=True):
        assert np.array_equal(matrix, same)


def test_any_reader_of_the_format_has_the_weights(tmp_path: Path, model: microgpt.Model) -> None:
    model.save(tmp_path / "m", format="safetensors")
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["meta.json", "model.safetensors"]
    found = load_file(tmp_path / "m" / "model.safetensors")
    assert found.keys() == model.weights.keys()
    for name, matrix in model.weights.items():
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], matrix)
    with safe_open(tmp_path / "m" / "model.safetensors", "np") as file:
        inside = json.loads(file.metadata()["microgpt"])
    assert inside == json.loads((tmp_path / "m" / "meta.json").read_text())


def test_the_same_model_is_the_same_bytes(tmp_path: Path, model: microgpt.Model) -> None:
    for name in ("a.safetensors", "b.safetensors"):
        model.save(tmp_path / name)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_weights_are_narrow_only_if_nothing_is_lost(tmp_path: Path, model: microgpt.Model) -> None:
    exact = microgpt.engines.build(
        model.config, model.tokenizer, model.weights, "tensor", "float64"
    )
    exact.save(tmp_path / "a.safetensors")
    exact.weights["wpe"][0, 0] += 1e-12
    exact.save(tmp_path / "b.safetensors")
    kinds = [load_file(tmp_path / f"{name}.safetensors")["wte"].dtype for name in "ab"]
    assert kinds == [np.float32, np.float64]
    again = microgpt.load(tmp_path / "b.safetensors", dtype="float64")
    assert again.weights["wpe"][0, 0] == exact.weights["wpe"][0, 0]


def test_the_name_of_a_file_of_weights_is_its_format(tmp_path: Path, model: microgpt.Model) -> None:
    with pytest.raises(microgpt.ConfigError, match="must be one of json, safetensors, not 'pt'"):
        model.save(tmp_path / "m", format="pt")  # type: ignore[arg-type]
    with pytest.raises(ModelFolderError, match="is the name of a safetensors file: name a folder"):
        model.save(tmp_path / "m.safetensors", format="json")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "m.safetensors").mkdir()
    model.save(tmp_path / "m.safetensors")
    assert (tmp_path / "m.safetensors" / "weights.json").exists()
    assert microgpt.load(tmp_path / "m.safetensors").config == model.config


def test_a_file_without_metadata_needs_meta_json(tmp_path: Path, model: microgpt.Model) -> None:
    model.save(tmp_path, format="safetensors")
    path = tmp_path / "model.safetensors"
    save_file(load_file(path), path)
    assert microgpt.load(tmp_path).config == model.config
    with pytest.raises(ModelFolderError) as error:
        microgpt.load(path)
    assert str(error.value) == (
        f"{path} has weights only: put it into a folder as model.safetensors, with meta.json"
    )
    (tmp_path / "meta.json").unlink()
    with pytest.raises(ModelFolderError, match="cannot read .*meta.json: No such file"):
        microgpt.load(tmp_path)


Change = Callable[[dict[str, np.ndarray]], object]


def put(name: str, *place: int, value: float) -> Change:
    return lambda tensors: tensors[name].__setitem__(place, value)


BROKEN_TENSORS: dict[str, Change] = {
    "wpe is missing": lambda t: t.pop("wpe"),
    "wte has shape (5, 6), expected (6, 6)": lambda t: t.update(wte=t["wte"][1:]),
    "wte has shape (36,), expected (6, 6)": lambda t: t.update(wte=t["wte"].ravel()),
    "wte has shape (6, 6, 1), expected (6, 6)": lambda t: t.update(wte=t["wte"][..., None]),
    "lm_head is F16, not F32 or F64: convert it to F32": lambda t: t.update(
        lm_head=t["lm_head"].astype("f2")
    ),
    "lm_head is I64, not F32 or F64: convert it to F32": lambda t: t.update(
        lm_head=t["lm_head"].astype("i8")
    ),
    "layer0.attn_wq has a value that is not finite in float32": put(
        "layer0.attn_wq", 0, 0, value=np.nan
    ),
    "wpe has a value that is not finite in float32": put("wpe", 2, 5, value=-np.inf),
    "layer1.mlp_fc1 has a value that is not finite in float32": lambda t: t.update(
        {"layer1.mlp_fc1": t["layer1.mlp_fc1"].astype("f8") + 1e300}
    ),
    "layer9.attn_wq is not a matrix of this model": lambda t: t.update(
        {"layer9.attn_wq": t["layer0.attn_wq"]}
    ),
    "m.wte is not a matrix of this model": lambda t: t.update({"m.wte": t["wte"]}),
    r"a\nb\x1b is not a matrix of this model": lambda t: t.update({"a\nb\x1b": t["wte"]}),
}


@pytest.mark.parametrize("message", BROKEN_TENSORS)
def test_broken_tensors_are_named(tmp_path: Path, model: microgpt.Model, message: str) -> None:
    path = tmp_path / "m.safetensors"
    model.save(path)
    tensors = load_file(path)
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    BROKEN_TENSORS[message](tensors)
    save_file({name: np.ascontiguousarray(t) for name, t in tensors.items()}, path, metadata)
    with pytest.raises(ModelFolderError) as error:
        microgpt.load(path)
    assert str(error.value) == f"{path}: {message}"


BROKEN_METADATA: dict[str, Callable[[dict], object]] = {
    ", metadata has no charset, a string of characters": lambda m: m.pop("charset"),
    ", metadata: bos must be 0 or 4, not 5": lambda m: m.update(bos=5),
    ", metadata: n_embd 6 is not divisible by n_head 4": lambda m: m.update(n_head=4),
    ", metadata: vocab_size is 30, charset, BOS and special tokens make 6": lambda m: m.update(
        vocab_size=30
    ),
    ": it has fewer tensors than its 1,000,000,000 layers": lambda m: m.update(n_layer=10**9),
    ": layer2.attn_wk is missing": lambda m: m.update(n_layer=3),
    ": wte has shape (6, 6), expected (6, 10000000)": lambda m: m.update(n_embd=10**7),
    ": wpe has shape (3, 6), expected (1000000000000, 6)": lambda m: m.update(block_size=10**12),
    ": its metadata is not a checkpoint's": lambda m: m.update(checkpoint=1),
    ": m.layer0.attn_wk is missing": lambda m: m.update(checkpoint={}),
}


@pytest.mark.parametrize("message", BROKEN_METADATA)
def test_broken_metadata_is_named(tmp_path: Path, model: microgpt.Model, message: str) -> None:
    path = tmp_path / "m.safetensors"
    model.save(path)
    header, data = header_of(path)
    about = json.loads(header["__metadata__"]["microgpt"])
    BROKEN_METADATA[message](about)
    header["__metadata__"]["microgpt"] = json.dumps(about)
    write(path, header, data)
    assert refusal(path) == f"{path}{message}"


def refusal(path: Path, limit: float = 1e6) -> str:
    """Return why a model is not loaded, in one line, for which at most so many bytes were taken."""
    tracemalloc.start()
    try:
        with pytest.raises(ModelFolderError) as error:
            microgpt.load(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < limit
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 10_000, '{"charset": ' + "[" * 900])
def test_metadata_that_is_no_object_is_refused(
    tmp_path: Path, model: microgpt.Model, text: str
) -> None:
    path = tmp_path / "m.safetensors"
    save_file(model.weights, path, {"microgpt": text})
    assert refusal(path).startswith(f"{path}, metadata is not ")


def test_a_value_too_deep_to_be_shown_is_refused(tmp_path: Path, model: microgpt.Model) -> None:
    """Some of these have too many arrays in one another to be read, others to be in a message."""
    path = tmp_path / "m.safetensors"
    for depth in range(900, 1000):
        text = json.dumps({"charset": "a"})[:-1] + ', "n_embd": ' + "[" * depth + "]" * depth + "}"
        save_file(model.weights, path, {"microgpt": text})
        with pytest.raises(ModelFolderError):
            microgpt.load(path)


def test_a_file_that_is_replaced_while_it_is_opened_is_opened_again(
    tmp_path: Path, model: microgpt.Model
) -> None:
    path = tmp_path / "m.safetensors"
    for change in (  # a folder is there while a save removes the file, see `replacing_in`
        lambda: model.save(path),
        path.unlink,
        lambda: (path.unlink(), path.mkdir()),
    ):
        model.save(path)
        with path.open("rb") as file:
            change()
            with pytest.raises(tensor_file.MovedError):
                tensor_file.TensorFile(file)


def test_too_large_a_header_is_not_read(tmp_path: Path, model: microgpt.Model) -> None:
    path = tmp_path / "m.safetensors"
    with path.open("wb") as file:  # of holes: it takes no room
        file.write(struct.pack("<Q", 90_000_000) + b'{"a":')
        file.truncate(100_000_000)
    assert refusal(path) == f"{path}: its header has 90,000,000 bytes, more than 16,777,216"
    save_file(model.weights, path, {"microgpt": "[" * 2_000_001})
    expected = f"{path}: its metadata has 2,000,001 characters, more than 2,000,000"
    assert refusal(path, limit=5e6) == expected
    model.save(tmp_path / "m")
    with (tmp_path / "m" / "meta.json").open("wb") as file:
        file.truncate(1_000_000_000)
    assert "has 1,000,000,000 bytes, more than 2,000,000" in refusal(tmp_path / "m")


def test_a_model_that_does_not_fit_the_memory_is_not_read(
    tmp_path: Path, model: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.safetensors"
    model.save(path)
    monkeypatch.setattr(memory, "of_machine", lambda: 3000)
    needed = f"needs {4 * model.parameter_count / 1000:.1f} kB to load, this machine has 3.0 kB"
    assert needed in refusal(path)


def test_a_tensor_is_in_memory_once(tmp_path: Path) -> None:
    """That of a checkpoint without the moments, which would take twice as much again."""
    model = microgpt.create(microgpt.ModelConfig(n_embd=256), engine="tensor")
    meta = tensor_file.Meta(model.config, model.tokenizer)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(tensor_file.content(meta, model.weights, model.moments, {}))
    tracemalloc.start()
    try:
        tensor_file.open_file(path).weights(meta, "float32")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1.5 * 4 * model.parameter_count


@pytest.mark.parametrize("name", ["weights.json", "meta.json"])
def test_a_part_of_a_model_is_not_one(tmp_path: Path, model: microgpt.Model, name: str) -> None:
    model.save(tmp_path)
    with pytest.raises(ModelFolderError, match=f"{name} is a part of a model: name its folder"):
        microgpt.load(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"\x08", b"emma\nolivia\n", bytes(100), b"\xff" * 100])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    assert refusal(path).startswith(f"{path}: it is not a whole safetensors file: ")
