"""A model as a notebook and a prompt show it."""

from xml.etree import ElementTree

import microgpt
import pytest
from microgpt.engines.base import MOST_LISTED


def shown(model: microgpt.Model) -> tuple[dict[str, str], str, list[list[str]]]:
    """Return the facts, {name: text}, and the matrices: what is above their table, and its rows."""
    page = ElementTree.fromstring(model._repr_html_())
    above, details = page.find("table"), page.find("details")
    assert above is not None and details is not None
    facts = {row[0].text or "": row[1].text or "" for row in above.iter("tr")}
    rows = [[cell.text or "" for cell in row] for row in details.iter("tr")]
    return facts, details.findtext("summary") or "", rows[1:]


def test_the_boards_model() -> None:
    model = microgpt.create(microgpt.ModelConfig(), engine="tensor")
    assert repr(model) == "<model of 4,192 parameters, engine tensor, float32>"
    facts, summary, rows = shown(model)
    assert facts["n_embd"] == "16" and facts["vocabulary"] == "27 tokens"
    assert facts["characters"] == "abcdefghijklmnopqrstuvwxyz"
    assert facts["computes with"] == "engine tensor, float32"
    assert "ESP32_GENERIC," in facts["boards with the memory to train it"]
    assert summary == "its 9 matrices"
    assert rows[0] == ["wte", "27 x 16", "432"]
    assert sum(int(row[2].replace(",", "")) for row in rows) == 4192


def test_a_model_that_no_board_can_train_with_markup_in_its_vocabulary() -> None:
    config = microgpt.ModelConfig(n_embd=64, n_layer=17)
    model = microgpt.create(config, "<&>\n", special_tokens=["<|user|>"])
    facts, summary, rows = shown(model)
    assert facts["characters"] == "<&>\\n"
    assert facts["special tokens"] == "BOS, <|user|>"
    assert facts["boards with the memory to train it"] == "none"
    assert summary == f"its 105 matrices, the first {MOST_LISTED} of them"
    assert len(rows) == MOST_LISTED


@pytest.mark.parametrize("engine", ["scalar", "native"])
def test_other_engines(engine: str) -> None:
    if engine == "native":
        pytest.importorskip("microgpt.engines._native", reason="engine native was not built here")
    model = microgpt.create(microgpt.ModelConfig(n_embd=4), engine=engine)
    assert f"engine {engine}, " in repr(model)
    assert shown(model)[0]["computes with"].startswith(f"engine {engine}, float")
