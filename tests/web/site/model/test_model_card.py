"""The model taken along: downloaded from the tab, and loaded into it, in a real Chromium."""

import io
import json
import zipfile
from pathlib import Path

import microgpt
import numpy as np
import pytest
from microgpt.engines import build
from microgpt_board.device.weights import in_order
from ugpt.layout import parameter_count, parameter_table

from tests.support.commands import run

pytest.importorskip("selenium", reason="needs Selenium: .venv/bin/pip install -e '.[dev]'")

# ruff: noqa: E402 - imports that need Selenium
from tests.support.web.site_page import SitePage
from tests.support.web.tab_model import facts_of, losses_of, seen, started, weights_of


def downloaded(page: SitePage, folder: Path) -> Path:
    """Press the button; return the zip that the browser has written."""
    behaviour = {"behavior": "allow", "downloadPath": str(folder)}
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    page.press("#model-download")
    page.until(lambda: list(folder.glob("*.zip")))
    (found,) = folder.glob("*.zip")
    return found


def offered(page: SitePage, *paths: Path) -> None:
    """Choose files to load."""
    page.the("#model-files").send_keys("\n".join(map(str, paths)))


def test_the_tabs_model_is_loaded_by_microgpt_to_the_last_bit(
    site_page: SitePage, tmp_path: Path
) -> None:
    page = site_page
    started(page)
    flat = weights_of(page)
    found = downloaded(page, tmp_path)
    assert found.name == "microgpt-names-30-steps.zip"
    with zipfile.ZipFile(found) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    folder = tmp_path / found.stem
    model = microgpt.load(folder, dtype="float32")
    same = np.concatenate([model.weights[name].ravel() for name, _, _ in model.table])
    assert same.tobytes() == flat.tobytes()
    assert in_order(model, facts_of(page)["charset"], folder) == flat.tobytes()  # for a push
    assert len(run("generate", folder, "--num-samples", 3).stdout.splitlines()) == 3
    assert "4,192 parameters" in page.the("#model-status").text


def test_a_run_of_microgpt_train_learns_on_in_the_tab(site_page: SitePage, tmp_path: Path) -> None:
    page = site_page
    folder = tmp_path / "run"
    run("train", "--steps", 40, "--n-embd", 8, "--out", folder)
    model = microgpt.load(folder, dtype="float32")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in folder.rglob("*"):
            if path.is_file():
                archive.write(path, path.relative_to(tmp_path))
    (tmp_path / "run.zip").write_bytes(stream.getvalue())
    page.go("try?steps=20")
    offered(page, tmp_path / "run.zip")
    page.until(lambda: "run.zip is in the tab" in page.the("#model-status").text)
    expected = in_order(model, facts_of(page)["charset"], folder)
    assert weights_of(page).tobytes() == expected
    page.press("#run-start")
    page.until(lambda: page.driver.execute_script("return microgpt.state?.phase") == "done")
    assert weights_of(page).tobytes() != expected
    assert len(page.texts("#names-now li")) > 0


def test_a_model_with_its_tokens_in_another_order(site_page: SitePage, tmp_path: Path) -> None:
    """As microgpt.py has them: BOS last, and characters in any order."""
    page = site_page
    config = microgpt.ModelConfig(n_layer=2, block_size=20, tie_lm_head=True)
    tokenizer = microgpt.Tokenizer("zyxwvutsrqponmlkjihgfedcba", 26)
    rng = np.random.default_rng(1)
    sizes = config.sizes(27)
    flat = rng.normal(0, 0.3, parameter_count(sizes)).astype("float32")
    matrices = {
        name: flat[offset : offset + rows * columns].reshape(rows, columns)
        for name, (rows, columns), offset in parameter_table(sizes)
    }
    model = build(config, tokenizer, matrices, "tensor", "float32")
    model.save(tmp_path / "m")
    page.go("try")
    offered(page, tmp_path / "m" / "weights.json", tmp_path / "m" / "meta.json")
    page.until(lambda: "is in the tab" in page.the("#model-status").text)
    seen(page)
    charset = facts_of(page)["charset"]
    assert weights_of(page).tobytes() == in_order(model, charset, tmp_path)
    page.fill("#inside-text", "anna")
    expected = [f"{loss:.2f}" for loss in losses_of(model, "anna")]
    page.until(lambda: page.texts("#inside-tiles b:nth-child(3)") == expected)


def test_what_cannot_be_loaded_leaves_the_run_as_it_is(site_page: SitePage, tmp_path: Path) -> None:
    page = site_page
    started(page)
    before = weights_of(page)
    microgpt.create(microgpt.ModelConfig(), seed=1).save(tmp_path / "m")
    weights, meta = tmp_path / "m" / "weights.json", tmp_path / "m" / "meta.json"
    good = json.loads(meta.read_text())

    def refused(message: str, *paths: Path) -> None:
        offered(page, *paths)
        page.until(lambda: page.the("#model-error").text.startswith(message))
        assert page.the("#model-status").text == ""

    refused("meta.json is missing", weights)
    (tmp_path / "x.txt").write_text("emma")
    refused("x.txt is not a model", tmp_path / "x.txt")
    meta.write_text(json.dumps(good | {"n_embd": 4096}))
    refused("meta.json: n_embd must be a whole number from 1 to 1024", weights, meta)
    meta.write_text(json.dumps(good | {"n_head": 3}))
    refused("meta.json: n_embd 16 is not divisible by n_head 3", weights, meta)
    meta.write_text(json.dumps(good | {"n_embd": 1024, "n_layer": 64}))
    refused("meta.json: ", weights, meta)
    assert "bytes" in page.the("#model-error").text
    meta.write_text(json.dumps(good | {"charset": "0123456789", "vocab_size": 11}))
    refused("weights.json: wte has shape (27, 16), expected (11, 16)", weights, meta)
    model = microgpt.create(microgpt.ModelConfig(), "0123456789", seed=1)
    model.save(tmp_path / "digits")
    offered(page, tmp_path / "digits" / "weights.json", tmp_path / "digits" / "meta.json")
    page.until(lambda: page.the("#model-error").text)
    assert weights_of(page).tobytes() == before.tobytes()
    assert page.driver.execute_script("return microgpt.state.phase") == "done"


def test_files_can_be_dropped_on_the_card(site_page: SitePage, tmp_path: Path) -> None:
    page = site_page
    model = microgpt.create(microgpt.ModelConfig(), seed=5, dtype="float32")
    model.save(tmp_path / "m")
    page.go("try")
    files = {name: (tmp_path / "m" / name).read_text() for name in ("meta.json", "weights.json")}
    page.driver.execute_script(
        """
        const transfer = new DataTransfer();
        for (const [name, text] of Object.entries(arguments[0])) {
          transfer.items.add(new File([text], name));
        }
        const card = document.querySelector("#model");
        for (const type of ["dragenter", "dragover", "drop"]) {
          const given = { dataTransfer: transfer, bubbles: true, cancelable: true };
          card.dispatchEvent(new DragEvent(type, given));
        }""",
        files,
    )
    page.until(lambda: "is in the tab" in page.the("#model-status").text)
    expected = in_order(model, facts_of(page)["charset"], tmp_path)
    assert weights_of(page).tobytes() == expected
