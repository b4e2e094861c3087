"""Try: the documents and sizes that a person chooses, and what is said of them."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from microgpt.data import NAMES
from microgpt_board.image import names_bin
from microgpt_board.image.names_bin import Source

pytest.importorskip("selenium", reason="needs Selenium: .venv/bin/pip install -e '.[dev]'")

# ruff: noqa: E402 - imports that need Selenium
from tests.support.web.site_runs import computer_log, timeless
from tests.support.web.try_page import Try

TOWNS = NAMES.with_name("towns.txt")
WORDS = "Zoë\nJosé María\n\nÅsa\nBjörk\nМаша\n東京\n"


def test_the_towns_and_a_size_of_their_own(trying: Try) -> None:
    page = trying.page
    page.press("#list-towns")
    trying.set("n_embd", 20)
    page.until(lambda: "2,098 documents, 60 characters" in trying.text("#data-made"))
    page.until(lambda: trying.text("#fits-figures").startswith("7,560 parameters"))
    trying.run_to_the_end(20)
    assert re.search(
        r"parameters:7560 steps:20 data:2098 vocab_size:61 n_embd:20$", trying.log()[0]
    )
    assert trying.names() == names_bin.read(Source(TOWNS)).data
    settings = page.driver.execute_script("return microgpt.run.settings")
    assert settings == {"n_embd": 20, "steps": 20}


def test_own_text_with_accents_and_what_became_of_its_lines(trying: Try, tmp_path: Path) -> None:
    page = trying.page
    text = WORDS + "x" * 20 + "\nMu\u0308ller\na\tb\n"
    trying.own(text)
    page.until(lambda: "3 lines dropped" in trying.text("#data-made"))
    assert page.texts("#data-made li") == [
        "control characters: 1, such as line 10 a\tb",
        "empty: 1",
        "over 15 characters: 1, such as line 8 " + "x" * 20,
    ]
    (tmp_path / "own.txt").write_text(text)
    assert trying.names() == names_bin.read(Source(tmp_path / "own.txt")).data
    assert trying.offers() == ["Keep all: 21 positions", "Cut long lines"]
    trying.take("#data-offers", "Keep all: 21 positions")
    page.until(lambda: "2 lines dropped" in trying.text("#data-made"))
    assert trying.value("#set-block_size") == "21"
    page.until(lambda: len(trying.names()) > 0)
    trying.settle()
    assert trying.names() == names_bin.read(Source(tmp_path / "own.txt", block_size=21)).data
    trying.run_to_the_end(20)
    assert "data:8 " in trying.log()[0]
    assert "block_size:21" in trying.log()[0]
    page.driver.refresh()
    trying.page.wait()
    trying.ready()
    page.press("#list-own")
    assert trying.value("#data-text") == text  # not lost


def test_own_text_paused_in_the_middle_gives_the_log_of_the_tool(
    trying: Try, tmp_path: Path
) -> None:
    page = trying.page
    text = "".join(f"{a}{b}\n" for a in WORDS.split("\n") for b in ("", "él", " Ñu", "ß"))
    (tmp_path / "own.txt").write_text(text)
    trying.own(text)
    for name, value in {"n_embd": 12, "n_head": 3, "steps": 300}.items():
        trying.set(name, value)
    trying.settle()
    trying.speed(7)
    trying.press_start()
    page.until(lambda: trying.phase() == "Training" and trying.step() > 20)
    trying.press_start()
    trying.until_phase("Paused")
    assert trying.step() < 300
    page.press("#run-step")
    trying.fastest()
    trying.press_start()
    trying.until_phase("Done")
    sizes = ("--n-embd", 12, "--n-head", 3, "--steps", 300)
    expected = computer_log(tmp_path, "--names", tmp_path / "own.txt", *sizes)
    assert timeless(trying.log()) == timeless(expected)


def test_a_file_can_be_dropped_or_chosen(trying: Try, tmp_path: Path) -> None:
    page = trying.page
    data = b"\xef\xbb\xbfAnna\r\nBj\xc3\xb6rk\r\n"
    (tmp_path / "mine.txt").write_bytes(data)
    trying.drop(("mine.txt", data), on="#run-figures")
    page.until(lambda: "2 documents" in trying.text("#data-made"))
    assert page.the("#list-own").is_selected()
    assert trying.names() == names_bin.read(Source(tmp_path / "mine.txt")).data
    (tmp_path / "other.txt").write_text("Carla\nDörte\nEmil\n")
    page.the("#data-file").send_keys(str(tmp_path / "other.txt"))
    page.until(lambda: "3 documents" in trying.text("#data-made"))
    source = page.driver.execute_script("return microgpt.run.source")
    assert (source["kind"], source["name"]) == ("own", "other.txt")
    assert source["sha256"] == hashlib.sha256(trying.names()).hexdigest()


def test_a_file_that_is_no_text_changes_nothing(trying: Try) -> None:
    page = trying.page
    trying.own(WORDS)
    page.until(lambda: "6 documents" in trying.text("#data-made"))
    names = trying.names()
    for files, message in [
        (
            [("picture.png", b"\x89PNG\xff")],
            "picture.png is not UTF-8 text: convert it, or choose another file",
        ),
        ([("a.txt", b"a"), ("b.txt", b"b")], "2 files were given: give one text"),
        ([("long.txt", b"")], "long.txt is empty: choose another file"),
    ]:
        trying.drop(*files)
        page.until(lambda message=message: trying.text("#data-error") == message)
        assert trying.value("#data-text") == WORDS
        assert trying.names() == names


def test_the_ways_to_make_documents(trying: Try, tmp_path: Path) -> None:
    page = trying.page
    file = tmp_path / "in.txt"
    file.write_text(WORDS + "x" * 20)
    page.press("#data-ways summary")
    trying.own(file.read_text())
    page.press("#how-fold")
    page.until(lambda: "26 characters" in trying.text("#data-made"))
    assert trying.names() == names_bin.read(Source(file, fold=True)).data
    page.press("#how-fold")
    page.press("#how-cut")
    page.until(lambda: "1 cut to 15 characters" in trying.text("#data-made"))
    trying.settle()
    assert trying.names() == names_bin.read(Source(file, cut=True)).data
    page.fill("#how-max_characters", 18)
    page.until(lambda: "rare characters" in trying.text("#data-made"))
    trying.settle()
    assert trying.names() == names_bin.read(Source(file, cut=True, max_characters=18)).data
    page.fill("#how-max_characters", 400)
    message = "Most characters must be a whole number from 1 to 254, or empty"
    page.until(lambda: trying.text("#data-error") == message)


def test_too_many_characters_are_refused_with_a_way_out(trying: Try) -> None:
    page = trying.page
    trying.own("\n".join(chr(0x4E00 + i) for i in range(300)))
    page.until(lambda: "has 300 different characters" in trying.text("#data-error"))
    assert trying.offers() == ["Keep the 254 most frequent"]
    trying.take("#data-offers", "Keep the 254 most frequent")
    page.until(lambda: "254 documents, 254 characters" in trying.text("#data-made"))
    assert trying.text("#data-error") == ""


def test_where_a_model_fits_and_the_nearest_sizes_that_do(trying: Try) -> None:
    page = trying.page

    def places() -> dict[str, str]:
        # In one call: the page may draw the list anew between two.
        script = """const texts = (selector) =>
              [...document.querySelectorAll(selector)].map((element) => element.textContent);
            return [texts("#fits li > span:first-child"), texts("#fits .verdict")];"""
        verdicts = zip(*page.driver.execute_script(script), strict=True)
        return {title: verdict for titles, verdict in verdicts for title in titles.split(", ")}

    assert set(places().values()) == {"fits"}
    assert {"This tab", "ESP32"} <= set(places())
    trying.set("n_embd", 24)
    trying.set("n_layer", 2)
    page.until(lambda: places().get("ESP32") == "too large")
    assert places()["This tab"] == "fits"
    said = page.texts("#fits li .quiet")[0]
    assert re.fullmatch(r"It needs [\d,]{7} bytes, 144,000 are free. What fits:", said)
    offers = page.texts("#fits button")
    assert any(re.fullmatch(r"Width \d+(, layers 1)?", offer) for offer in offers)
    trying.take("#fits", offers[0])
    page.until(lambda: places().get("ESP32") == "fits")


def test_what_the_tab_cannot_hold_is_refused_and_the_run_before_goes_on(trying: Try) -> None:
    page = trying.page
    trying.press_start()
    page.until(lambda: trying.phase() == "Training" and trying.step() > 5)
    trying.set("n_embd", 1024)
    trying.set("n_layer", 64)
    page.until(lambda: page.texts("#fits .verdict")[:1] == ["too large"])
    trying.take("#run-changed", "Start again with it")
    page.until(lambda: trying.text("#run-error"))
    said = r"Not started: the model needs [\d,]+ bytes, and [\d,]+ are free; "
    assert re.fullmatch(said + r"the run before is still here\.", trying.text("#run-error"))
    assert trying.phase() == "Training"
    trying.fastest()
    trying.until_phase("Done")


def test_a_phone_scrolls_only_downwards(trying: Try) -> None:
    trying.page.size(360, 700)
    trying.own("x" * 4000 + "\n" + "東" * 300 + "\nshort")
    trying.page.until(lambda: "1 document, 5 characters" in trying.text("#data-made"))
    width = trying.page.driver.execute_script("return document.documentElement.scrollWidth")
    assert width <= 360


def test_a_model_that_is_loaded_waits_at_step_0_and_goes_on_learning(trying: Try) -> None:
    page = trying.page
    trying.set("n_embd", 8)
    trying.run_to_the_end(200)
    weights, loss = trying.weights(), float(trying.text("#figure-mean"))
    trying.set("n_embd", 16)
    assert trying.load() == ""
    trying.until_phase("Ready")
    assert np.array_equal(trying.weights(), weights)
    assert trying.value("#set-n_embd") == "8"
    assert "loaded model" in trying.log()[-1]
    assert trying.text("#link-about").startswith("This run began with m.zip, which no link carries")
    assert not trying.shown("#link")
    page.press("#run-step")
    page.until(lambda: trying.step() == 1)
    assert float(trying.text("#figure-loss")) < loss + 1.2  # an untrained one has 3.3
    trying.press_start()
    trying.until_phase("Done")
    trying.press_start()  # again, from the seed
    trying.until_phase("Done")
    page.until(lambda: trying.shown("#link"))


def test_a_model_of_other_characters_keeps_the_documents_that_fit_it(trying: Try) -> None:
    page = trying.page
    page.press("#list-towns")
    trying.run_to_the_end(5)
    page.press("#list-names")
    page.until(lambda: "32,469 documents" in trying.text("#data-made"))
    trying.own("Köln\n東京\nBonn\nQuakenbrück\n")
    page.until(lambda: "4 documents" in trying.text("#data-made"))
    assert trying.load() == ""
    trying.until_phase("Ready")
    said = trying.text("#data-made")
    assert "3 documents, 60 characters" in said
    assert "Only the characters of the loaded model are used" in said
    assert page.texts("#data-made li") == [
        "characters that the model lacks: 1, such as line 2 東京"
    ]
    assert "data:3 vocab_size:61" in trying.log()[0]
    trying.own("東京\n")  # another text is for another model
    page.until(lambda: "1 document, 2 characters" in trying.text("#data-made"))


def test_a_model_that_cannot_be_loaded_leaves_run_and_form(trying: Try) -> None:
    trying.run_to_the_end(5)
    weights = trying.weights()
    for model, message in [
        ("{ charset: 'XY' }", "the sizes of the model do not fit its characters"),
        ("{ sizes: { ...now.sizes, n_embd: 2000 } }", "Width must be a whole number from 1"),
        ("{ weights: now.weights.slice(1) }", "has another number of weights"),
        (
            "{ charset: 'XY', sizes: { ...now.sizes, vocab_size: 3 } }",
            "the model m.zip has other characters: choose the list that it learned from, then load",
        ),
    ]:
        assert message in trying.load(model)
        assert np.array_equal(trying.weights(), weights)
        assert trying.value("#set-n_embd") == "16"
        trying.page.until(lambda: "32,469 documents" in trying.text("#data-made"))
