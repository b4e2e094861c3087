"""Folders with weights in one format, in the other, in both: what a save leaves, what is read."""

import json
import os
import subprocess
import sys
from pathlib import Path

import microgpt
import pytest
from microgpt import ModelFolderError, model_io

from tests.host.model_io.test_folder import edit, marked, number_of

ROOT = Path(__file__).parents[3]
BOTH = ("json", "safetensors")
FILES = {"json": ["meta.json", "weights.json"], "safetensors": ["meta.json", "model.safetensors"]}


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """A folder that has the weights of one model in both formats."""
    folder = tmp_path / "both"
    marked(1).save(folder)
    marked(1).save(tmp_path / "other", format="safetensors")
    (tmp_path / "other" / "model.safetensors").rename(folder / "model.safetensors")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("second", BOTH)
@pytest.mark.parametrize("first", BOTH)
def test_a_save_leaves_one_file_of_weights(
    tmp_path: Path, first: model_io.Format, second: model_io.Format
) -> None:
    marked(0).save(tmp_path, format=first)
    assert names(tmp_path) == FILES[first]
    (tmp_path / "README.md").write_text("mine")
    marked(1).save(tmp_path, format=second)
    assert names(tmp_path) == sorted(["README.md", *FILES[second]])
    assert number_of(microgpt.load(tmp_path)) == 1
    assert model_io.weights_file(tmp_path) == tmp_path / FILES[second][1]


@pytest.mark.parametrize("form", BOTH)
def test_what_cannot_be_removed_is_refused(tmp_path: Path, form: model_io.Format) -> None:
    (other,) = (name for name in (*FILES["json"], *FILES["safetensors"]) if name not in FILES[form])
    (tmp_path / other).mkdir()
    with pytest.raises(ModelFolderError, match=f"{other} is a folder, not a file: remove it"):
        marked(0).save(tmp_path, format=form)
    assert names(tmp_path) == [other]


def test_both_are_read_if_they_agree(both: Path) -> None:
    assert number_of(microgpt.load(both)) == 1
    marked(1).save(both)
    assert names(both) == FILES["json"]


def test_two_files_that_disagree_are_refused(both: Path) -> None:
    edit(both / "weights.json", lambda weights: weights["wpe"][3].__setitem__(1, 1.0000001))
    with pytest.raises(ModelFolderError) as error:
        microgpt.load(both)
    assert str(error.value) == (
        f"{both}: wpe is not the same in weights.json and model.safetensors: remove one of them"
    )
    (both / "model.safetensors").unlink()
    assert microgpt.load(both).weights["wpe"][3, 1] > 1


def test_a_weight_that_only_one_of_two_files_can_hold_is_refused(both: Path) -> None:
    edit(both / "weights.json", lambda weights: weights["wpe"][3].__setitem__(1, 1e300))
    with pytest.raises(ModelFolderError, match="wpe is not the same in weights.json and"):
        microgpt.load(both, dtype="float64")


@pytest.mark.parametrize(
    ("name", "value"), [("charset", "ba"), ("n_head", 2), ("input_rmsnorm", False)]
)
def test_a_meta_json_that_disagrees_with_the_weights_is_refused(
    tmp_path: Path, name: str, value: object
) -> None:
    marked(0).save(tmp_path, format="safetensors")
    edit(tmp_path / "meta.json", lambda meta: meta.update({name: value}))
    with pytest.raises(ModelFolderError) as error:
        microgpt.load(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: {name} is not the same in meta.json and in the metadata of "
        "model.safetensors: remove meta.json if model.safetensors is right"
    )
    (tmp_path / "meta.json").unlink()
    assert number_of(microgpt.load(tmp_path)) == 0


def test_a_folder_without_weights_says_what_they_are_called(tmp_path: Path) -> None:
    marked(0).save(tmp_path)
    (tmp_path / "weights.json").unlink()
    with pytest.raises(ModelFolderError) as error:
        microgpt.load(tmp_path)
    assert str(error.value) == f"{tmp_path} has no weights: weights.json or model.safetensors"


@pytest.mark.parametrize("name", ["weights.json", "meta.json", "model.safetensors"])
def test_a_pipe_is_refused(tmp_path: Path, name: str) -> None:
    marked(0).save(tmp_path)
    pipe = tmp_path / name
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    with pytest.raises(ModelFolderError, match=f"{name}: it is not a regular file$"):
        microgpt.load(tmp_path)
    with pytest.raises(ModelFolderError, match=f"{name} is not a regular file: name a model's fol"):
        microgpt.load(pipe)


def test_a_run_may_have_its_model_in_either(tmp_path: Path) -> None:
    marked(1).save(tmp_path / "run" / "model", format="safetensors")
    assert number_of(microgpt.load(tmp_path / "run")) == 1
    (tmp_path / "run" / "model" / "meta.json").unlink()
    assert number_of(microgpt.load(tmp_path / "run")) == 1


# A process that saves two models, each in its own format, in turns.
SAVES = """
import sys
from tests.host.model_io.test_folder import marked
for turn in range(int(sys.argv[2])):
    marked(turn % 2).save(sys.argv[1], ("json", "safetensors")[turn % 2])
"""


def test_a_load_while_the_format_changes_is_of_one_model(tmp_path: Path) -> None:
    target = tmp_path / "m"
    marked(0).save(target)
    command = [sys.executable, "-c", SAVES, str(target), "60"]
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    while any(process.poll() is None for process in processes):
        number_of(microgpt.load(target))
        model_io.weights_file(target)
    assert [process.returncode for process in processes] == [0, 0]
    assert names(target) == FILES["safetensors"]


def test_a_json_model_is_the_same_text_after_both_ways(tmp_path: Path) -> None:
    """So a run that started from it can be repeated: run.json has the text's SHA-256."""
    model = microgpt.create(microgpt.ModelConfig(), seed=3)
    model.save(tmp_path)
    before = (tmp_path / "weights.json").read_bytes()
    for form in ("safetensors", "json"):
        config, tokenizer, weights = model_io.read(tmp_path, "float64")
        model_io.save(config, tokenizer, weights, tmp_path, form)
    assert (tmp_path / "weights.json").read_bytes() == before
    assert list(json.loads(before)) == [name for name, _, _ in model.table]
