"""The page: documents, a chat, its themes and its sizes."""

import json
from pathlib import Path

import microgpt
import pytest
from microgpt.chat.conversations import Message
from microgpt.chat.session import Chat
from microgpt.sampling import Sampling

pytest.importorskip("selenium", reason="needs Selenium: .venv/bin/pip install -e '.[dev]'")
pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

# ruff: noqa: E402 - imports that need Selenium
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support.web.page import Page


def test_documents(page: Page, names_folder: Path) -> None:
    assert "4,192 parameters" in page.the("#model").text
    page.slide("#documents-temperature", 1.2)
    assert page.the("#documents-form output").text == "1.20"
    page.fill("#documents-form [name=num_samples]", 7)
    page.fill("#documents-form [name=seed]", 5)
    page.press("#documents-form [type=submit]")
    expected = microgpt.generate(microgpt.load(names_folder), 7, 1.2, 5)
    page.until(lambda: page.texts("#samples li") == [text or "(nothing)" for text in expected])
    page.fill("#documents-form [name=prompt]", "Má")  # folded to the vocabulary
    page.press("#documents-form [type=submit]")
    begun = microgpt.generate(microgpt.load(names_folder), 7, 1.2, 5, "ma")
    page.until(lambda: page.texts("#samples li") == begun)
    page.press("#documents-dice")
    page.until(lambda: page.the("#documents-form [name=seed]").get_property("value") != "5")
    page.fill("#documents-form [name=num_samples]", 70)  # the form itself refuses it
    page.press("#documents-form [type=submit]")
    assert page.driver.execute_script("return document.querySelector(':invalid') !== null")


def test_why_documents_are_not_generated_is_a_sentence(page: Page) -> None:
    errors = {
        "r2": "'2' is not in the vocabulary: the model knows a-z.",
        "a" * 16: "A prompt is at most 15 characters, not 16.",
    }
    for prompt, error in errors.items():
        page.fill("#documents-form [name=prompt]", prompt)
        page.press("#documents-form [type=submit]")
        page.until(lambda error=error: page.the("#documents-error").text == error)
        assert page.the("#documents-form [name=prompt]").get_property("value") == prompt
    page.driver.get_log("browser")  # which lists answers of 422


def test_a_model_that_cannot_chat_says_so(page: Page) -> None:
    page.until(lambda: page.the("#chat-none").is_displayed())
    assert "microgpt train --chat" in page.the("#chat-none").text
    assert not page.the("#chat-form").is_displayed()


def test_a_model_that_chats_shows_the_chat_and_no_documents(chat_page: Page) -> None:
    page = chat_page
    page.size(390, 844)  # where the header links to the sections
    page.until(lambda: page.the("#chat-form").is_displayed())
    assert not page.the("#documents").is_displayed()
    links = page.driver.find_elements(By.CSS_SELECTOR, "nav a")
    assert [link.text for link in links if link.is_displayed()] == ["Runs", "Chat"]


def test_documents_have_one_name(page: Page) -> None:
    words = page.driver.execute_script("return document.body.innerText").lower()
    assert page.the("#documents").is_displayed()
    assert "names" not in words
    assert page.the("#documents h2").text == "Documents"


def test_the_unit_of_the_loss_is_explained(page: Page) -> None:
    assert "in nats, against the step: 0 if " in page.texts("figcaption")[0]


@pytest.mark.parametrize("model", ["page", "chat_page"])
def test_every_input_has_a_label(model: str, request: pytest.FixtureRequest) -> None:
    page: Page = request.getfixturevalue(model)
    unlabelled = """
        return [...document.querySelectorAll("input")].filter(
          (e) => !e.labels.length && !e.ariaLabel).map((e) => e.outerHTML)"""
    assert page.driver.execute_script(unlabelled) == []


def test_chat(chat_page: Page) -> None:
    page = chat_page
    page.until(lambda: page.the("#chat-form").is_displayed())
    page.slide("#chat-temperature", 0)
    for text, reply in (("Hi", "hello! what is your name?"), ("ada", "nice to meet you, ada.")):
        page.the("#chat-form [name=content]").send_keys(text, Keys.ENTER)
        page.until(lambda text=text, reply=reply: page.texts("#messages li")[-2:] == [text, reply])
        page.until(lambda: page.the("#chat-form [type=submit]").is_enabled())
    unknown = "<|user|>"
    page.the("#chat-form [name=content]").send_keys(unknown, Keys.ENTER)
    page.until(
        lambda: page.the("#chat-error").text.startswith(
            "'<', '|', '>' are not in the vocabulary: the model knows 2 3 a-p r-z"
        )
    )
    assert page.the("#chat-form [name=content]").get_property("value") == unknown
    assert len(page.texts("#messages li")) == 4
    page.press("#chat-reset")
    page.until(lambda: page.texts("#messages li") == [])
    page.fill("#chat-form [name=content]", "<b>" if "<" in page.texts("body")[0] else "good night")
    page.the("#chat-form [name=content]").send_keys(Keys.ENTER)
    page.until(lambda: len(page.texts("#messages li")) == 2)


def test_a_long_conversation_is_sent_as_far_as_it_fits_a_block(
    chat_page: Page, memorised: microgpt.Model
) -> None:
    page = chat_page
    page.until(lambda: page.the("#chat-form").is_displayed())
    page.slide("#chat-temperature", 0)
    block = memorised.config.block_size
    talk = Chat(memorised, Sampling(0))
    for text in (
        "hi",
        "what is attention?",
        "ada",
        "what is a loss?",
        "thanks",
        "x" * 110,
        "bye",
        "hi",
    ):
        page.the("#chat-form [name=content]").send_keys(text, Keys.ENTER)
        page.until(lambda: page.the("#chat-form [type=submit]").is_enabled())
        (body,) = [json.loads(r["postData"]) for r in page.requests() if r["method"] == "POST"]
        sent = [Message(**message) for message in body["messages"]]
        talk.say(Message("user", text))
        assert sent == talk.messages[-len(sent) :]
        assert sent[0].role == "user"
        assert sum(len(message.content) for message in sent) <= block
        # The same as to all of it: the service would have left out what was not sent.
        reply = "".join(talk.reply())
        assert page.texts("#messages li")[-1] == reply
    assert len(sent) < len(talk.messages) - 2


def test_dark_and_light(page: Page) -> None:
    page.dark(False)
    page.until(lambda: page.theme() == "light")
    light = page.colour()
    page.dark(True)
    page.until(lambda: page.theme() == "dark")
    dark = page.colour()
    assert light != dark
    page.press("#theme")
    assert page.colour() == light
    page.driver.refresh()  # the choice is kept
    assert page.colour() == light
    page.press("#theme")
    page.dark(False)
    assert page.colour() == dark
    page.driver.execute_script("localStorage.clear()")


@pytest.mark.parametrize("width", [320, 375, 390, 768])
@pytest.mark.parametrize(
    ("model", "form"), [("page", "#documents-form"), ("chat_page", "#chat-form")]
)
def test_a_phone(request: pytest.FixtureRequest, model: str, form: str, width: int) -> None:
    page: Page = request.getfixturevalue(model)
    page.size(width, 844)
    page.driver.refresh()
    page.until(lambda: page.the(form).is_displayed())
    widths = "return [document.documentElement.scrollWidth, window.innerWidth]"
    content, window = page.driver.execute_script(widths)
    assert content <= window == width
    small = """
        return [...document.querySelectorAll("button, input:not([type=checkbox])")]
          .filter((e) => e.offsetParent && e.getBoundingClientRect().height < 24)
          .map((e) => e.outerHTML)"""
    assert page.driver.execute_script(small) == []  # all can be touched
