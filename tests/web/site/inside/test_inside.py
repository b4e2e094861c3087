"""The pictures of the model while it learns, in a real Chromium."""

import re
from collections.abc import Iterator
from pathlib import Path

import microgpt
import numpy as np
import pytest

pytest.importorskip("selenium", reason="needs Selenium: .venv/bin/pip install -e '.[dev]'")

# ruff: noqa: E402 - imports that need Selenium
from selenium.webdriver.common.keys import Keys

from tests.support.web.axe import violations
from tests.support.web.site_page import SitePage
from tests.support.web.tab_model import facts_of, losses_of, same_model, seen, started

CANVASES = "#inside-chances, #inside-maps canvas, #inside-embeddings"


@pytest.fixture
def page(site_page: SitePage) -> Iterator[SitePage]:
    site_page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    yield site_page


def attention_of(model: microgpt.Model, text: str) -> np.ndarray:
    """The attention of the heads of the first layer, (head, position, position looked at)."""
    weights = model.weights
    tokens = model.tokenizer.encode(text)[:-1]
    n, width, heads = len(tokens), model.config.n_embd, model.config.n_head

    def norm(x: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)

    x = norm(norm(weights["wte"][tokens] + weights["wpe"][:n]))
    q, k = (
        (x @ weights[f"layer0.attn_w{name}"].T).reshape(n, heads, width // heads).swapaxes(0, 1)
        for name in "qk"
    )
    scores = q @ k.swapaxes(1, 2) / np.sqrt(width // heads)
    scores[:, np.triu_indices(n, 1)[0], np.triu_indices(n, 1)[1]] = -np.inf
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def labels(page: SitePage, selector: str = CANVASES) -> list[str]:
    script = """return [...document.querySelectorAll(arguments[0])].map((canvas) =>
      canvas.getAttribute("role") === "img" ? canvas.getAttribute("aria-label") : "no picture")"""
    found: list[str] = page.driver.execute_script(script, selector)
    return found


def test_the_figures_are_those_of_the_model(page: SitePage) -> None:
    started(page)
    model = same_model(page)
    page.fill("#inside-text", "anna")
    losses = losses_of(model, "anna")
    expected = [f"{loss:.2f}" for loss in losses]
    page.until(lambda: page.texts("#inside-tiles b:nth-child(3)") == expected)
    assert page.texts("#inside-tiles bdi") == [*"anna", "end"]
    mean = f"loss of this text: {np.mean(losses):.2f}"
    assert page.the("#inside-when").text == mean
    inside = page.driver.execute_script(
        "return microgpt.board.look('anna').then((i) => [...i.attention])"
    )
    expected_attention = attention_of(model, "anna")
    np.testing.assert_allclose(
        np.array(inside).reshape(expected_attention.shape), expected_attention, atol=1e-5
    )
    assert page.the("#inside-chances").is_displayed()
    said = labels(page, "#inside-maps canvas")
    assert len(said) == 4
    for head, label in enumerate(said):
        last = expected_attention[head, -1]
        best = int(last.argmax())
        assert f"Attention of head {head + 1}, a map of 5 by 5 positions" in label
        assert f"at position {best}: {100 * last[best]:.0f} %" in label
    assert "After “anna”, position 4 looks at" in said[0]


def test_each_character_can_be_chosen_with_mouse_and_keys(page: SitePage) -> None:
    started(page)
    page.fill("#inside-text", "bob")
    page.until(lambda: page.the("#inside-next-title").text == "What comes after “bob”?")
    page.press("#inside-tiles li:first-child button")
    assert page.the("#inside-next-title").text == "What comes after the start?"
    page.the("#inside-tiles li:first-child button").send_keys(Keys.ARROW_RIGHT)
    assert page.the("#inside-next-title").text == "What comes after “b”?"
    tiles = page.driver.find_elements("css selector", "#inside-tiles button")
    assert [tile.get_attribute("aria-pressed") == "true" for tile in tiles] == [0, 1, 0, 0]
    said = page.driver.switch_to.active_element.get_attribute("textContent")
    assert re.fullmatch(r"o after “b”: loss \d\.\d\d, chance [\d.]+ %", said)
    assert "After “b”, position 1 looks at" in labels(page, "#inside-maps canvas")[0]
    assert labels(page, "#inside-chances")[0].startswith("Next character after “b”")
    page.driver.switch_to.active_element.send_keys(Keys.END)
    assert page.the("#inside-next-title").text == "What comes after “bob”?"


def test_the_temperature_and_the_draw_ask_the_model_nothing(page: SitePage) -> None:
    started(page)
    page.driver.execute_script(
        "microgpt.asked = 0; microgpt.board.look = async () => { microgpt.asked++; }"
    )
    seen = set()
    for temperature in (0, 0.5, 2):
        page.slide("#inside-temperature", temperature)
        (label,) = labels(page, "#inside-chances")
        assert f"temperature {temperature:.2f}" in label
        seen.add(label)
        assert page.the("#inside-again").is_enabled() is (temperature > 0)
    assert len(seen) == 3
    drawn = set()
    for _ in range(30):
        page.press("#inside-again")
        number = float(re.search(r"u = (0\.\d+|1\.000)", page.texts("#inside-draw")[0])[1])  # type: ignore[index]
        start, end = map(
            float,
            re.search(r"from (\S+) to (\S+), and u", page.texts("#inside-sum")[0]).groups(),  # type: ignore[union-attr]
        )
        assert start - 0.001 <= number <= end + 0.001
        drawn.add(page.texts("#inside-drawn")[0])
    assert len(drawn) > 2
    assert page.driver.execute_script("return microgpt.asked") == 0


def test_the_pictures_follow_the_training_and_do_not_hold_it_up(page: SitePage) -> None:
    page.go("try?steps=1000000")
    page.until(lambda: page.driver.execute_script("return microgpt.spare !== null"))
    page.slide("#run-speed", 1000)  # at its end: as fast as it goes
    page.driver.execute_script(
        """
        const { look } = Object.getPrototypeOf(microgpt.spare);
        window.looks = [];
        Object.getPrototypeOf(microgpt.spare).look = function (text) {
          looks.push(performance.now());
          return look.call(this, text);
        };"""
    )
    seen(page)
    page.press("#run-start")
    page.until(lambda: page.driver.execute_script("return looks.length") > 12)
    looks = np.diff(page.driver.execute_script("return looks"))
    assert looks.min() >= 240  # milliseconds
    assert page.driver.execute_script("return microgpt.state.step") > 100
    before = page.texts("#inside-tiles button")
    page.until(lambda: page.texts("#inside-tiles button") != before)
    page.press("#inside-follow")
    count = page.driver.execute_script("return looks.length")
    page.until(lambda: page.the("#inside-now").is_displayed())
    steps = page.driver.execute_script("return microgpt.state.step")
    page.until(lambda: page.driver.execute_script("return microgpt.state.step") > steps + 2000)
    assert page.driver.execute_script("return looks.length") <= count + 1
    page.press("#inside-now")
    page.until(lambda: page.driver.execute_script("return looks.length") > count)
    page.press("#run-stop")


def test_motion_is_reduced_for_who_asks_for_it(page: SitePage) -> None:
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page.go("try?steps=5")
    assert not page.the("#inside-follow").is_selected()
    assert page.the("#inside-now").is_displayed()
    seen(page)
    page.press("#run-start")  # and at the end it shows the end
    page.until(lambda: page.driver.execute_script("return microgpt.state?.phase") == "done")
    expected = [f"{loss:.2f}" for loss in losses_of(same_model(page), "emma")]
    page.until(
        lambda: (
            [t.split("%")[0][-99:] for t in page.texts("#inside-tiles b:nth-child(3)")] == expected
        )
    )


def test_a_text_that_the_model_cannot_read_changes_nothing(page: SitePage) -> None:
    started(page)
    page.fill("#inside-text", "EMMA")
    page.until(lambda: page.the("#inside-next-title").text == "What comes after “emma”?")
    before = page.texts("#inside-tiles button")
    page.fill("#inside-text", "em1")
    page.until(lambda: page.the("#inside-error").text)
    assert page.the("#inside-error").text == (
        "'1' is not in the vocabulary: the model knows abcdefghijklmnopqrstuvwxyz. "
        "The pictures are still those of “emma”."
    )
    assert page.texts("#inside-tiles button") == before
    page.fill("#inside-text", "a" * 40)
    page.until(lambda: page.the("#inside-cut").text)
    assert page.the("#inside-cut").text.startswith("The model reads 16 positions at once: it sees")
    assert page.the("#inside-error").text == ""
    assert len(page.texts("#inside-tiles button")) == 16
    page.the("#inside-text").send_keys(Keys.CONTROL, "a", Keys.DELETE)
    page.until(lambda: page.the("#inside-next-title").text == "What comes after the start?")
    assert len(page.texts("#inside-tiles button")) == 1


def test_the_pictures_of_a_model_with_layers_and_many_characters(page: SitePage) -> None:
    started(page, list="towns", n_layer=2, n_head=2, n_embd=12, steps=5)
    assert page.texts("#inside-layer option") == ["Layer 1 of 2", "Layer 2 of 2"]
    first = labels(page, "#inside-maps canvas")
    assert len(first) == 2
    assert ", layer 1, " in first[0]
    page.the("#inside-layer").send_keys(Keys.ARROW_DOWN)
    page.until(lambda: ", layer 2, " in labels(page, "#inside-maps canvas")[0])
    page.size(360, 800)
    page.until(lambda: "likeliest of" in page.texts("#inside-key")[0])
    tokens = len(facts_of(page)["charset"]) + 1
    assert f"of {tokens}." in page.texts("#inside-key")[0]
    assert f"The embeddings of {tokens} tokens" in labels(page, "#inside-embeddings")[0]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 1280])
def test_axe_and_the_width_with_all_pictures(page: SitePage, dark: bool, width: int) -> None:
    page.size(width, 900)
    page.dark(dark)
    started(page, steps=3)
    assert violations(page.driver) == []
    widths = page.driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1] == width
    assert all(len(label) > 40 for label in labels(page))
    ink = """
        return [...document.querySelectorAll(arguments[0])].map((canvas) => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return data.filter((value, i) => i % 4 === 3 && value > 0).length;
        });"""
    assert min(page.driver.execute_script(ink, CANVASES)) > 500


def test_a_model_that_has_diverged_says_so(site_page: SitePage, tmp_path: Path) -> None:
    model = microgpt.create(microgpt.ModelConfig(), seed=1)
    for matrix in model.weights.values():
        matrix *= 1e19
    model.save(tmp_path / "m")
    page = site_page
    page.go("try")
    files = [str(tmp_path / "m" / name) for name in ("weights.json", "meta.json")]
    page.the("#model-files").send_keys("\n".join(files))
    page.until(lambda: "is in the tab" in page.the("#model-status").text)
    assert page.the("#model-download").is_enabled()
    seen(page)
    page.until(lambda: "it has diverged" in page.the("#inside-error").text)
    assert page.texts("#inside-tiles button") == []
    page.press("#run-start")
    page.until(lambda: page.driver.execute_script("return microgpt.state.phase") == "failed")
    page.until(lambda: not page.the("#model-download").is_enabled())
    assert "NaN" not in page.the("body").text
