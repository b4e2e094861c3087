"""A model that the tab of the site has trained, and the same model in an engine of the host."""

from typing import Any

import microgpt
import numpy as np
from microgpt.engines import build

from tests.support.web.site_page import SitePage

WEIGHTS = "return microgpt.board.weights().then((weights) => Array.from(weights))"


def started(page: SitePage, **settings: object) -> None:
    """Train a model with these settings to its end, and wait until the pictures are of its end."""
    fields = "&".join(f"{name}={value}" for name, value in {"steps": 30, **settings}.items())
    page.go(f"try?{fields}")
    seen(page)
    page.press("#run-start")
    page.until(lambda: page.driver.execute_script("return microgpt.state?.phase") == "done")
    settled(page)


def seen(page: SitePage) -> None:
    """Scroll to the pictures: nothing is computed for those that nobody sees."""
    page.driver.execute_script("document.querySelector('#inside').scrollIntoView()")


def settled(page: SitePage) -> None:
    """Wait until the pictures are those of the model as it is now."""
    page.driver.execute_async_script(
        """
        const [done] = arguments;
        const { board } = microgpt;
        const first = board.look;
        // A look that begins after this one has ended is of the model as it is.
        board.look = async (text) => {
          const found = await first.call(board, text);
          board.look = first;
          setTimeout(done, 50);
          return found;
        };
        document.querySelector("#inside-follow").dispatchEvent(new Event("change"));"""
    )


def weights_of(page: SitePage) -> np.ndarray:
    return np.array(page.driver.execute_script(WEIGHTS), "float32")


def facts_of(page: SitePage) -> dict[str, Any]:
    found: dict[str, Any] = page.driver.execute_script("return microgpt.board.facts")
    return found


def same_model(page: SitePage) -> microgpt.Model:
    """The model in the tab, in an engine of the host."""
    facts = facts_of(page)
    flat = weights_of(page)
    matrices = {
        name: flat[offset : offset + rows * columns].reshape(rows, columns)
        for name, (rows, columns), offset in facts["table"]
    }
    names = ("n_embd", "n_head", "n_layer", "block_size", "tie_lm_head", "input_rmsnorm")
    config = microgpt.ModelConfig(**{name: facts["sizes"][name] for name in names})
    tokenizer = microgpt.Tokenizer(facts["charset"], 0)
    return build(config, tokenizer, matrices, "tensor", "float64")


def losses_of(model: microgpt.Model, text: str) -> list[float]:
    """The loss of each character of a text, and of its end."""
    tokens = model.tokenizer.encode(text)
    n = len(tokens) - 1
    return [model.loss_and_grads(tokens, [t == i for t in range(n)])[0] for i in range(n)]
