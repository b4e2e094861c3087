"""`microgpt show`: a picture of a model."""

from pathlib import Path

import microgpt

from tests.support.commands import run


def test_show(tmp_path: Path) -> None:
    microgpt.create(microgpt.ModelConfig(n_layer=2)).save(tmp_path / "m")
    run("show", "m", "maria", cwd=tmp_path)
    assert (tmp_path / "results" / "show-m.png").read_bytes().startswith(b"\x89PNG")
    error = run("show", "m", "zo1", cwd=tmp_path, code=1).stderr
    assert error == "error: '1' is not in the vocabulary: the model knows a-z\n"


def test_a_picture_in_a_folder_is_named(tmp_path: Path) -> None:
    microgpt.create(microgpt.ModelConfig()).save(tmp_path / "m")
    (tmp_path / "pictures").mkdir()
    assert run("show", "m", "--out", "pictures", cwd=tmp_path).stdout == (
        "drawn: pictures/show-m.png\n"
    )
    assert (tmp_path / "pictures" / "show-m.png").exists()
    assert run("show", "m", "--out", "slides", cwd=tmp_path).stdout == "drawn: slides/show-m.png\n"
    assert (tmp_path / "slides").is_dir()  # a path without a suffix is a folder
    assert run("show", ".", cwd=tmp_path / "m").stdout == "drawn: results/show-m.png\n"
