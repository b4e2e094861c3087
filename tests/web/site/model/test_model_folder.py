"""A model's folder as a zip: `microgpt` loads what the page writes, and the other way round."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import microgpt
import numpy as np
import pytest
from microgpt.chat.conversations import SPECIAL_TOKENS
from microgpt.config import field_names
from microgpt_board.device.weights import in_order
from ugpt.layout import SIZES, Sizes, parameter_count, parameter_table

from tests.support.web.node import JsError, call, evaluate

READ = """
    const { readModel } = await load("site/model/folder.js");
    const [files, plan, refused] = args;
    let taken = 0;
    const counted = (blob) => ({
      size: blob.size,
      slice: (...range) => counted(blob.slice(...range)),
      arrayBuffer: () => ((taken += blob.size), blob.arrayBuffer()),
    });
    const given = files.map(([name, bytes]) => ({ name, blob: counted(new Blob([bytes])) }));
    let asked = null;
    try {
      const model = await readModel(given, async (sizes) => {
        asked = sizes;
        if (refused) throw new Error(refused);
        return { ...plan, sizes: { ...plan.sizes, ...sizes } };
      });
      return { ...model, asked, taken };
    } catch (error) {
      if (error.constructor.name !== "FileError") throw error;
      return { error: error.message, asked, taken };
    }"""

Files = dict[str, bytes]
Change = Callable[[Files], Files]


def plan_of(sizes: Sizes) -> dict[str, Any]:
    """What the worker says of sizes."""
    return {
        "sizes": {name: getattr(sizes, name) for name in SIZES},
        "parameters": parameter_count(sizes),
        "table": parameter_table(sizes),
    }


def read(files: Files, sizes: Sizes, refused: str = "") -> dict[str, Any]:
    """What the page makes of files, for which the worker says this of their model's sizes."""
    found: dict[str, Any] = evaluate(READ, list(files.items()), plan_of(sizes), refused)
    return found


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def files_of(folder: Path) -> Files:
    return {name: (folder / name).read_bytes() for name in ("weights.json", "meta.json")}


@pytest.fixture(scope="module")
def model() -> microgpt.Model:
    config = microgpt.ModelConfig(n_embd=6, n_head=2, n_layer=2, block_size=5)
    return microgpt.create(config, "bca", seed=7, dtype="float32")


@pytest.fixture
def files(model: microgpt.Model, tmp_path: Path) -> Files:
    model.save(tmp_path / "saved")
    return files_of(tmp_path / "saved")


@pytest.mark.parametrize("tied", [False, True])
def test_what_the_page_writes_is_loaded_to_the_last_bit(tmp_path: Path, tied: bool) -> None:
    sizes = Sizes(5, 6, 3, 2, 7, tied, not tied)
    rng = np.random.default_rng(1)
    weights = rng.normal(0, 0.08, parameter_count(sizes)).astype("float32")
    weights[:12] = [-0.0, 0, 1, -1, 1e20, -3e38, 1e-45, 1e21, 123456789, 2**31, 1e-7, 0.1]
    facts = plan_of(sizes) | {"charset": " 'ß\U0001f600"}
    code = """
        const { writeModel } = await load("site/model/folder.js");
        return (await writeModel(...args)).arrayBuffer();"""
    data = evaluate(code, "some-model", facts, weights)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["some-model/meta.json", "some-model/weights.json"]
        archive.extractall(tmp_path)
    loaded = microgpt.load(tmp_path / "some-model", dtype="float32")
    assert loaded.tokenizer.charset == facts["charset"]
    assert loaded.tokenizer.bos == 0
    assert loaded.sizes == sizes
    flat = np.concatenate([loaded.weights[name].ravel() for name, _, _ in loaded.table])
    assert flat.dtype == np.float32
    assert flat.tobytes() == weights.tobytes()
    meta = json.loads((tmp_path / "some-model" / "meta.json").read_text())
    assert set(meta) == {"charset", "bos", "special_tokens", "vocab_size"} | set(
        field_names(microgpt.ModelConfig)
    )
    again = read({"x.zip": data}, sizes)
    assert again["weights"].tobytes() == weights.tobytes()


def test_a_model_that_has_diverged_is_not_written() -> None:
    sizes = Sizes(3, 2, 1, 1, 2)
    weights = np.zeros(parameter_count(sizes), "float32")
    weights[8] = np.nan
    with pytest.raises(JsError, match="wpe has a value that is not finite: start again"):
        call("site/model/folder.js", "writeModel", "x", plan_of(sizes) | {"charset": "ab"}, weights)


@pytest.mark.parametrize("bos", [0, 3])
@pytest.mark.parametrize("way", ["zip", "folder in zip", "run", "stored", "two files", "renamed"])
def test_what_microgpt_saves_is_read_in_the_boards_order(
    tmp_path: Path, model: microgpt.Model, files: Files, way: str, bos: int
) -> None:
    meta = json.loads(files["meta.json"]) | {"bos": bos}
    if bos == 3:
        del meta["bos"], meta["vocab_size"], meta["special_tokens"]  # as microgpt.py itself
    files["meta.json"] = b"\xef\xbb\xbf" + json.dumps(meta, indent=4).encode()
    folder = tmp_path / "changed"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    given = {
        "zip": {"a.ZIP": zipped(files)},
        "folder in zip": {"a.zip": zipped({f"x/y/{n}": c for n, c in files.items()})},
        "run": {
            "run.zip": zipped(
                {f"run/model/{n}": c for n, c in files.items()}
                | {"run/run.json": b"{}", "__MACOSX/run/model/._weights.json": b"x"}
            )
        },
        "stored": {"no-suffix": zipped(files, zipfile.ZIP_STORED)},
        "two files": files,
        "renamed": {
            "Meta (1).json": files["meta.json"],
            "weights (1).json": files["weights.json"],
        },
    }[way]
    found = read(given, model.sizes)
    assert "error" not in found, found
    assert found["charset"] == "abc"
    assert found["sizes"] == plan_of(model.sizes)["sizes"]
    assert found["asked"]["n_embd"] == 6
    expected = in_order(microgpt.load(folder, dtype="float32"), "abc", folder)
    assert found["weights"].tobytes() == expected


def test_a_float64_model_is_rounded_as_for_a_board(tmp_path: Path) -> None:
    model = microgpt.create(microgpt.ModelConfig(), seed=3, dtype="float64")
    model.save(tmp_path / "m")
    found = read({"m.zip": zipped(files_of(tmp_path / "m"))}, model.sizes)
    loaded = microgpt.load(tmp_path / "m", dtype="float32")
    assert found["weights"].tobytes() == in_order(loaded, model.tokenizer.charset, tmp_path)


def test_what_meta_lacks_is_asked_of_the_worker(files: Files, model: microgpt.Model) -> None:
    meta = json.loads(files["meta.json"])
    given = {"charset": meta["charset"], "bos": 0, "unknown": "x", "note": 3}
    found = read(files | {"meta.json": json.dumps(given).encode()}, model.sizes)
    assert found["asked"]["vocab_size"] == 4
    assert not {"n_embd", "block_size", "tie_lm_head"} & set(found["asked"])


def changed(name: str, change: Callable[[dict[str, Any]], object]) -> Change:
    """Files with a change in the JSON of one of them."""

    def apply(files: Files) -> Files:
        content = json.loads(files[name])
        change(content)
        return files | {name: json.dumps(content).encode()}

    return apply


def weights(change: Callable[[dict[str, Any]], object]) -> Change:
    return changed("weights.json", change)


def meta(**values: object) -> Change:
    return changed("meta.json", lambda content: content.update(values))


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


def lying(files: Files) -> bytes:
    """A zip in which weights.json has a thousandth of the size that the zip says."""
    data = bytearray(zipped(files))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (1 << 31).to_bytes(4, "little")
    return bytes(data)


def encrypted(files: Files) -> bytes:
    data = bytearray(zipped(files))
    for at in (at for at in range(len(data)) if data[at : at + 4] == b"PK\x01\x02"):
        data[at + 8] |= 1
    return bytes(data)


BROKEN: dict[str, Change] = {
    "weights.json: wpe is missing": weights(lambda w: w.pop("wpe")),
    "weights.json: lm_head has shape (3, 6), expected (4, 6)": weights(
        lambda w: w["lm_head"].pop()
    ),
    "weights.json: wte is not a matrix of numbers": weights(lambda w: w["wte"][1].pop()),
    "weights.json: layer0.attn_wq is not a matrix": weights(
        lambda w: w.update({"layer0.attn_wq": 1})
    ),
    "weights.json: layer0.attn_wo is not a matrix": weights(
        lambda w: w["layer0.attn_wo"][2].__setitem__(3, "0.1")
    ),
    "weights.json: wpe is not a matrix": weights(lambda w: w["wpe"][2].__setitem__(3, None)),
    "weights.json has a value that is not finite: NaN or Infinity": weights(
        lambda w: w["layer1.attn_wk"][0].__setitem__(0, float("nan"))
    ),
    "weights.json: wpe has a value that is not finite in float32": weights(
        lambda w: w["wpe"][0].__setitem__(0, 1e300)
    ),
    "weights.json: lm_head has a value that is not finite": weights(
        lambda w: w["lm_head"][0].__setitem__(0, 10**400)
    ),
    'weights.json: "layer9.attn_wq" is not a matrix of this model': weights(
        lambda w: w.update({"layer9.attn_wq": []})
    ),
    'weights.json: "__proto__" is not a matrix': lambda files: (
        files
        | {"weights.json": replaced(files["weights.json"], b'{"wte"', b'{"__proto__": [], "wte"')}
    ),
    "weights.json is not JSON: ": lambda files: (
        files | {"weights.json": files["weights.json"][:-9]}
    ),
    "weights.json is not JSON: it is not UTF-8 text": lambda files: (
        files | {"weights.json": files["weights.json"].decode().encode("utf-16")}
    ),
    "weights.json is not a JSON object": lambda files: (
        files | {"weights.json": b"[" * 999 + b"]" * 999}
    ),
    "weights.json: 9 bytes are too few for the 942 parameters": lambda files: (
        files | {"weights.json": b'{"wte":1}'}
    ),
    "weights.json: 0 bytes are too few": lambda files: files | {"weights.json": b""},
    "weights.json: 2,000,000 bytes are too many for the 942": lambda files: (
        files | {"weights.json": b" " * 2_000_000}
    ),
    "meta.json has 300,000 bytes, more than a model's": lambda files: (
        files | {"meta.json": b" " * 300_000}
    ),
    "meta.json is not JSON: ": lambda files: files | {"meta.json": b""},
    "meta.json is not a JSON object": lambda files: files | {"meta.json": b"null"},
    "meta.json has no charset": changed("meta.json", lambda m: m.pop("charset")),
    "meta.json has no charset, a string of": meta(charset=["ab", "c"]),
    "meta.json: charset must be characters, each of them once": meta(charset="abb"),
    "meta.json: charset must be": meta(charset=""),
    "meta.json: vocab_size is 30, charset and BOS make 4": meta(vocab_size=30),
    "meta.json: bos must be 0 or 3, not 2": meta(bos=2),
    'meta.json: bos must be 0 or 3, not "0"': meta(bos="0"),
    "meta.json: the board's program has no special tokens, and the model has <|user|>": meta(
        special_tokens=list(SPECIAL_TOKENS)
    ),
    "meta.json: special_tokens must be an array": meta(special_tokens="x"),
    "meta.json: n_embd must be a whole number from 1 on, not 1.5": meta(n_embd=1.5),
    'meta.json: n_head must be a whole number from 1 on, not "2"': meta(n_head="2"),
    "meta.json: block_size must be a whole number from 1 on, not 0": meta(block_size=0),
    "meta.json: tie_lm_head must be true or false, not 1": meta(tie_lm_head=1),
    "meta.json is missing: choose it with the other file": lambda files: {
        "weights.json": files["weights.json"]
    },
    "weights.json is missing": lambda files: {"meta.json": files["meta.json"]},
    "2 files are called meta.json: choose one": lambda files: (
        files | {"meta (1).json": files["meta.json"]}
    ),
    "model.safetensors: safetensors files are not read here: microgpt export MODEL": lambda files: {
        "model.safetensors": b"\x08\0\0\0\0\0\0\0{}      ",
        "meta.json": files["meta.json"],
    },
    "names.txt is not a model: choose a zip, or weights.json and meta.json": lambda _: {
        "names.txt": b"emma\n"
    },
    "empty.zip is not a model": lambda _: {"empty.zip": b""},
    "choose a.zip alone: a zip is a whole model": lambda files: {"a.zip": zipped(files)} | files,
    "a.zip is not a model: it has no weights.json with a meta.json beside it": lambda files: {
        "a.zip": zipped({"a/weights.json": files["weights.json"], "meta.json": files["meta.json"]})
    },
    "nothing.zip is not a model": lambda _: {"nothing.zip": zipped({})},
    "m/model.safetensors: safetensors files are not read here: microgpt export MOD": lambda files: {
        "a.zip": zipped({"m/model.safetensors": b"x", "m/meta.json": files["meta.json"]})
    },
    "a.zip has 2 models, in x/ and y/: zip one of them": lambda files: {
        "a.zip": zipped({f"{folder}/{n}": c for folder in "xy" for n, c in files.items()})
    },
    "a.zip is a zip that ends too early": lambda files: {"a.zip": zipped(files)[:-40]},
    "a.zip is a damaged zip": lambda files: {
        "a.zip": replaced(zipped(files), b"PK\x01\x02", b"PK\x01\x09")
    },
    "weights.json is damaged in the zip": lambda files: {
        "a.zip": (lambda z: z[:200] + bytes(byte ^ 0x55 for byte in z[200:260]) + z[260:])(
            zipped(files)
        )
    },
    "meta.json is damaged in the zip: copy or download": lambda files: {
        "a.zip": replaced(
            zipped(files, zipfile.ZIP_STORED), b'"charset": "bca"', b'"charset": "bcd"'
        )
    },
    "weights.json: 2,147,483,648 bytes are too many for the 942 parameters": lambda files: {
        "a.zip": lying(files)
    },
    "meta.json is encrypted: zip it without a password": lambda files: {"a.zip": encrypted(files)},
    "meta.json is compressed by method 14": lambda files: {
        "a.zip": zipped(files, zipfile.ZIP_LZMA)
    },
}


@pytest.mark.parametrize("message", BROKEN)
def test_what_is_wrong_with_the_files_is_one_line(
    files: Files, model: microgpt.Model, message: str
) -> None:
    found = read(BROKEN[message](files), model.sizes)
    assert found.get("error", "").startswith(message), found
    assert "\n" not in found["error"] and len(found["error"]) < 250


def test_nothing_is_read_of_weights_that_the_tab_cannot_hold(tmp_path: Path) -> None:
    model = microgpt.create(microgpt.ModelConfig(n_embd=32), seed=7)
    model.save(tmp_path / "m")
    files = files_of(tmp_path / "m")
    reason = "too little memory"
    found = read({"a.zip": zipped(files, zipfile.ZIP_STORED)}, model.sizes, refused=reason)
    assert found["error"] == f"meta.json: {reason}"
    assert found["taken"] < 70_000 < len(files["weights.json"]) / 4  # the end of the zip, its list
    found = read(files, model.sizes, refused=reason)
    assert found["taken"] < len(files["meta.json"]) + 100
