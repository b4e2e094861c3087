"""`microgpt show`: a picture of a model."""

from pathlib import Path

import microgpt

from tests.support.commands import run


def test_show(tmp_path: Path) -> None:
    microgpt.create(microgpt.ModelConfig(n_layer=2)).save(tmp_path / "m")
    run("show", "m", "maria", cwd=tmp_path)
    assert (tmp_path / "results" / "show-m.png").read_bytes().startswith(b"\x89PNG")
    error = run("show", "m", "zoé", cwd=tmp_path, code=1).stderr
    assert error == "error: 'é' in 'zoé' is not in the vocabulary\n"
