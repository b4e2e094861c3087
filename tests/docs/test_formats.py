"""Each example in docs/formats.md is read with the project's own code."""

import dataclasses
import io
import json
import re
import struct
from binascii import crc32
from pathlib import Path

import microgpt
import numpy as np
import pytest
from microgpt.chat import forms
from microgpt.config import ModelConfig, TrainConfig
from microgpt.lab import statistics, sweep
from microgpt.lab.ablation import Result, trainings
from microgpt.lab.comparison import Settings
from microgpt.runs import checkpoint as run_checkpoint
from microgpt.runs import info
from microgpt.runs import log as run_log
from microgpt.runs.environment import Computation, Environment
from microgpt_board.device import log
from microgpt_board.image import boards, manifest, names_bin, native, package, partitions
from microgpt_board.site import facts
from ugpt import app, checkpoint
from ugpt.dataset import Dataset
from ugpt.layout import NUMBERS, Sizes, parameter_count, parameter_table

from tests.support.web.node import call

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "formats.md"
EXAMPLE = re.compile(r"<!-- example: (.+?) -->\n```\w*\n(.*?)```", re.DOTALL)
EXAMPLES = dict(EXAMPLE.findall(PAGE.read_text(encoding="utf-8")))


def dump(name: str) -> bytes:
    """Return the bytes of a hex dump, whose offsets and characters must be right, too."""
    *lines, last = EXAMPLES[name].splitlines()
    first = int(lines[0][:8], 16)
    data = b""
    for line in lines:
        offset, middle, characters = line[:8], line[8:58], line[60:].strip("|")
        part = bytes.fromhex(middle)
        assert int(offset, 16) == first + len(data)
        assert characters == "".join(chr(b) if 32 <= b < 127 else "." for b in part)
        data += part
    assert int(last, 16) == first + len(data)
    return data


def test_every_example_is_read_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert len(EXAMPLES) == len(EXAMPLE.findall(PAGE.read_text(encoding="utf-8"))) > 12
    assert [name for name in EXAMPLES if f'"{name}"' not in source] == []


def test_names_bin() -> None:
    dataset = Dataset(names_bin.InMemory("names.bin", dump("names.bin")))
    dataset.check()
    tokens = bytearray(17)
    read = [list(tokens[: dataset.read_into(i, tokens)]) for i in range(dataset.count)]
    assert read == [[0, 2, 5, 7, 0], [0, 1, 4, 3, 8, 6, 0]]
    assert list(map(microgpt.Tokenizer("AZanosëï").decode, read)) == ["Zoë", "Anaïs"]
    written = names_bin.pack(["Zoë", "Anaïs"], names_bin.Source(Path("names.txt")))
    assert written.data == dump("names.bin")


def test_ugpt_json(tmp_path: Path) -> None:
    path = tmp_path / "ugpt.json"
    path.write_text(EXAMPLES["ugpt.json"])
    settings, remarks = app.read_settings(str(path))
    assert remarks == []
    assert settings == json.loads(EXAMPLES["ugpt.json"])
    assert set(settings) == set(app.SETTINGS)


def test_the_boards_log() -> None:
    events = [log.parse(line) for line in EXAMPLES["board.log"].splitlines()]
    kinds = [type(event).__name__ for event in events]
    assert " ".join(kinds) == (
        "Start Remark Remark Step Step Step Remark Name Name "
        "Start Remark Remark Name Start Remark Step Name Remark"
    )
    first = events[0]
    assert isinstance(first, log.Start)
    assert (first.seed, first.parameters, first.steps, first.data) == (42, 4192, 20, 32469)
    larger = events[13]
    assert isinstance(larger, log.Start)
    assert (first.model, first.vocab_size) == (ModelConfig(), 27)
    assert (larger.model, larger.vocab_size) == (ModelConfig(24, 3, 2, 32), 61)


def read_checkpoint(data: bytes) -> tuple[dict[str, float], np.ndarray]:
    header = checkpoint.read_header(io.BytesIO(data), "example")
    count = parameter_count(Sizes(*(header[name] for name in NUMBERS)))
    assert len(data) == checkpoint.HEADER_SIZE + 12 * count + 4
    return header, np.frombuffer(data, "<f4", 3 * count, checkpoint.HEADER_SIZE).reshape(3, count)


def test_checkpoint() -> None:
    header, (params, m, v) = read_checkpoint(dump("checkpoint.bin"))
    assert (header["vocab_size"], header["step"], header["steps"]) == (2, 1, 10)
    assert header["data_crc"] == crc32(dump("names.bin")[32:])
    assert np.isfinite(params).all()
    assert (v >= 0).all()
    assert np.count_nonzero(m) == np.count_nonzero(v)


def test_checkpoint_header_of_the_default_model() -> None:
    header = dump("checkpoint.bin header")
    magic, version, *values = struct.unpack(checkpoint.HEADER, header)
    fields = dict(zip(checkpoint.FIELDS, values, strict=True))
    assert (magic, version) == (checkpoint.MAGIC, checkpoint.VERSION)
    default = Sizes()
    assert {name: fields[name] for name in NUMBERS} == {
        name: getattr(default, name) for name in NUMBERS
    }
    assert (fields["data"], fields["seed"], fields["step"], fields["origin"]) == (32469, 42, 20, 4)


def test_the_table_of_parameters() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\S+)` \| [^|]+ \| ([\d,]+) \|$", page, re.MULTILINE)
    offsets = {name.replace("{i}", "0"): int(offset.replace(",", "")) for name, offset in rows}
    assert offsets == {name: offset for name, _, offset in parameter_table(Sizes())}


def write_run(folder: Path, name: str) -> info.RunInfo:
    (folder / info.FILE).write_text(EXAMPLES[name])
    return info.read(folder)


def test_run_of_a_host(tmp_path: Path) -> None:
    run = write_run(tmp_path, "run.json host")
    assert (run.engine, run.board, run.seed, run.steps) == ("tensor", None, 42, 20)
    assert ModelConfig(**run.content["model"]) == ModelConfig()
    train = TrainConfig(**run.content["train"])
    assert dataclasses.asdict(train) == run.content["train"]


@pytest.mark.parametrize("name", ["run.json board", "run.json board version 1"])
def test_run_of_a_board(name: str, tmp_path: Path) -> None:
    run = write_run(tmp_path, name)
    assert (run.engine, run.board) == (None, "virtual-1.29.0")
    assert (run.seed, run.parameters, run.steps, run.documents) == (42, 4192, 20, 32469)
    assert info.part(run.content, "data").get("vocab_size", 27) == 27


def test_logs_of_runs() -> None:
    host = [run_log.parse(line) for line in EXAMPLES["log.jsonl host"].splitlines()]
    assert [step.validation is not None for step in host] == [True] * len(host)
    board = [run_log.parse(line) for line in EXAMPLES["log.jsonl board"].splitlines()]
    kinds = [type(record).__name__ for record in board]
    assert kinds == ["Step", "Step", "Step", "Remark", "Name", "Name"]
    lines = [line for line in EXAMPLES["board.log"].splitlines() if line.startswith("step:")]
    steps = [dataclasses.asdict(log.parse(line)) for line in lines[:3]]
    assert steps == [json.loads(line) for line in EXAMPLES["log.jsonl board"].splitlines()[:3]]


def test_a_training_of_a_comparison(tmp_path: Path) -> None:
    path = tmp_path / "training.json"
    path.write_text(EXAMPLES["training.json"])
    result = sweep.read_result(path)
    assert result.keys() == Result.__required_keys__
    assert result["computation"].keys() == Computation.__required_keys__
    (row,) = statistics.summary([result])
    comparison = json.loads(EXAMPLES["comparison.json"])
    assert comparison["variants"][0] == row.as_json()
    assert comparison["trainings"][0].items() <= {"seed": 42, **result}.items()


def test_comparison_json() -> None:
    content = json.loads(EXAMPLES["comparison.json"])
    settings = content["settings"]
    assert settings.keys() == {field.name for field in dataclasses.fields(Settings)}
    assert TrainConfig(**settings["train"]).seed == content["trainings"][0]["seed"]
    model = ModelConfig(**settings["model"])
    names = [job.variant for job in trainings(model, TrainConfig(), settings["vary"], 1)]
    assert [variant["variant"] for variant in content["variants"]] == names
    assert [training["diverged"] for training in content["trainings"]] == [None, 2]
    assert content["variants"][1]["diverged_at_step"] == 2
    assert content["environment"].keys() == Environment.__required_keys__


def test_a_models_folder(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text(EXAMPLES["meta.json"])
    (tmp_path / "weights.json").write_text(EXAMPLES["weights.json"])
    model = microgpt.load(tmp_path)
    assert model.parameter_count == 64
    content = json.loads(EXAMPLES["weights.json"])
    for name, matrix in model.weights.items():
        assert matrix.tolist() == content[name]  # a float32 is read back to the same bits


def test_the_header_of_a_checkpoint_of_the_host(tmp_path: Path) -> None:
    header = json.loads(EXAMPLES["checkpoint.safetensors header"])
    about = json.loads(header["__metadata__"]["microgpt"])
    facts = about["checkpoint"]
    sizes = {field.name: about[field.name] for field in dataclasses.fields(ModelConfig)}
    model = microgpt.create(ModelConfig(**sizes), about["charset"], engine=facts["engine"])
    run_checkpoint.save(tmp_path, model, TrainConfig(**facts["train"]), facts["step"])
    check_tensor_file(tmp_path / run_checkpoint.FILE, header, 3 * 4 * model.parameter_count)


def check_tensor_file(path: Path, header: dict, size: int) -> None:
    """Check the header of a safetensors file, and how much is behind it."""
    written = path.read_bytes()
    (length,) = struct.unpack("<Q", written[:8])
    assert json.loads(written[8 : 8 + length]) == header
    assert length % 8 == 0
    assert len(written) == 8 + length + size


def test_a_models_folder_with_safetensors(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text(EXAMPLES["meta.json"])
    (tmp_path / "weights.json").write_text(EXAMPLES["weights.json"])
    model = microgpt.load(tmp_path)
    model.save(tmp_path, "safetensors")
    header = json.loads(EXAMPLES["model.safetensors header"])
    check_tensor_file(tmp_path / "model.safetensors", header, 4 * model.parameter_count)
    assert json.loads(header["__metadata__"]["microgpt"]) == json.loads(EXAMPLES["meta.json"])


def test_conversations(tmp_path: Path) -> None:
    path = tmp_path / "talks.jsonl"
    path.write_text(EXAMPLES["conversations.jsonl"])
    talks, malformed = forms.read_conversations(path)
    assert (len(talks), malformed) == (2, [])


def test_the_end_of_kernels_mpy() -> None:
    data = native.prebuilt("xtensawin").read_bytes()
    end = dump("kernels_xtensawin.mpy end")
    assert data.endswith(end)
    assert data[-4:] == crc32(data[:-4]).to_bytes(4, "little")


def test_the_end_of_kernels_wasm() -> None:
    data = native.prebuilt(native.WASM).read_bytes()
    end = dump("kernels.wasm end")
    assert data.endswith(end)
    assert len(end) == 2 + end[1]  # the whole section
    assert data[-4:] == crc32(data[:-4]).to_bytes(4, "little")


def test_the_package_of_mip() -> None:
    example = json.loads(EXAMPLES["package.json"])
    made = json.loads(package.description(ROOT))
    assert list(example) == list(made)
    assert example == made | {"urls": [url for url in made["urls"] if url in example["urls"]]}
    assert len(example["urls"]) == 3
    count = len(made["urls"])
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"With three of its {count} files:" in page


def test_the_manifest_of_an_image() -> None:
    example = json.loads(EXAMPLES["manifest.json"])
    board = boards.find(boards.DEFAULT)
    made = manifest.build(board, "image.bin", manifest.settings_file({}), {})
    assert list(example) == list(made)
    for name in ("name", "version", "new_install_prompt_erase", "builds", "board", "names"):
        assert example[name] == made[name], name
    vfs = partitions.read()["vfs"]
    assert vfs.offset < example["settings"]["offset"] < vfs.offset + vfs.size == example["size"]
    assert example["settings"]["size"] == made["settings"]["size"]


def test_every_member_of_site_json_is_in_its_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    table = page[page.index("## site.json") : page.index("## The link to a run")]
    about = facts.site("1.29.0", [])
    assert [name for name in about if f"`{name}`" not in table] == []
    parts = ("names_format", "log")
    named = [name for part in parts for name in dict(about[part])]  # type: ignore[call-overload]
    assert [name for name in named if f"`{name}`" not in table] == []


def test_the_link_to_a_run() -> None:
    about = facts.site("1.29.0", [])
    found = call("site/model/link.js", "read", EXAMPLES["link"].strip(), about)
    assert found["problems"] == []
    run = found["run"]
    assert run["settings"] == call("site/model/values.js", "usual", about)
    again = call("site/model/link.js", "write", run)
    assert again == EXAMPLES["link"].strip()
