"""A link to a run: it makes the same model again, and says what is missing or wrong."""

import hashlib
import re
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest

from tests.support.web.node import call
from tests.support.web.site import SiteServer

pytest.importorskip("selenium", reason="needs Selenium: .venv/bin/pip install -e '.[dev]'")

# ruff: noqa: E402 - imports that need Selenium
from tests.support.web.try_page import Try

WORDS = "Zoë\nJosé María\n\nÅsa\nBjörk\nМаша\n東京\n"


def fields_of(link: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(link.partition("?")[2]).items()}


def test_a_link_makes_the_same_model_again(trying: Try, site: SiteServer) -> None:
    page = trying.page
    page.press("#list-towns")
    trying.set("n_embd", 12)
    trying.set("n_head", 2)
    trying.set("seed", 7)
    trying.set("lr", 0.013)
    page.press("#settings .more summary")
    page.press("#set-tie_lm_head")
    trying.run_to_the_end(60)
    weights, log = trying.weights(), trying.log()
    link = trying.value("#link")
    assert link.startswith(f"{site.url}#try?")
    fields = fields_of(link)
    assert fields["list"] == "towns"
    assert fields["kernels"] == "native"
    assert fields["sha256"] == hashlib.sha256(trying.names()).hexdigest()

    page.go(link.partition("#")[2])
    trying.ready()
    page.until(lambda: "the same to the bit" in trying.text("#link-note"))
    assert trying.value("#set-lr") == "0.013"
    trying.fastest()
    trying.press_start()
    trying.until_phase("Done")
    assert np.array_equal(weights, trying.weights())

    def timeless(lines: list[str]) -> list[str]:
        return [re.sub(r" ms:.*", "", line) for line in lines if not line.startswith("# training")]

    assert timeless(trying.log()) == timeless(log)
    trying.take("#link-note", "Forget the link")
    assert not trying.shown("#link-note")


def test_a_link_of_seed_0_has_the_seed_that_was_taken(trying: Try) -> None:
    trying.set("seed", 0)
    trying.page.until(lambda: "Seed 0 is another one" in trying.text("#link-about"))
    assert not trying.shown("#link")
    trying.run_to_the_end(5)
    seed = re.search(r" seed:(\d+) ", trying.log()[0])
    assert seed
    trying.page.until(lambda: trying.shown("#link"))
    assert fields_of(trying.value("#link"))["seed"] == seed[1] != "0"


def test_a_link_to_own_data_says_when_they_are_missing_or_others(trying: Try) -> None:
    page = trying.page
    trying.drop(("mine.txt", WORDS.encode()))
    page.until(lambda: "6 documents" in trying.text("#data-made"))
    trying.run_to_the_end(20)
    weights = trying.weights()
    link = trying.value("#link")
    assert fields_of(link)["own"] == "mine.txt"
    page.driver.execute_script("sessionStorage.clear()")
    page.go(link.partition("#")[2])
    page.until(lambda: "made with “mine.txt”, which no link carries" in trying.text("#link-note"))
    trying.own("others\n")
    page.until(lambda: "are not those of the link" in trying.text("#link-note"))
    trying.own(WORDS.replace("\n", "\r\n"))
    page.until(lambda: "the same to the bit" in trying.text("#link-note"))
    trying.fastest()
    trying.press_start()
    trying.until_phase("Done")
    assert np.array_equal(weights, trying.weights())


def test_what_is_wrong_with_a_link_is_said(trying: Try) -> None:
    page = trying.page
    page.go("try?seed=x&steps=50&n_embd=5000&list=cats&sha256=12&colour=red&version=9.9.9")
    page.until(lambda: "colour" in trying.text("#link-note"))
    said = trying.text("#link-note")
    for part in (
        "Seed must be a whole number from 0 to 4,294,967,295, not x: it is 42",
        "Width must be a whole number from 1 to 1,024, not 5000: it is 16",
        "no list here is called cats: it is names",
        "its SHA-256 is damaged: 12",
        "colour is no setting of this version",
        "It was made by version 9.9.9, and this is",
        "It does not say which documents it was made with",
    ):
        assert part in said
    assert trying.value("#set-steps") == "50"


def test_a_link_is_read_as_it_was_written(site: SiteServer) -> None:
    settings = {
        "seed": 4294967295,
        "steps": 3,
        "lr": 1e-06,
        "temperature": 0.7,
        "tie_lm_head": True,
    }
    facts: dict[str, Any] = site.facts
    run = {
        "settings": call("site/model/values.js", "usual", facts) | settings,
        "how": {"fold": False, "cut": True, "max_characters": 60},
        "source": {"kind": "own", "name": "a&b=c #?é.txt", "sha256": "ab" * 32},
        "version": facts["version"],
        "kernels": "portable",
    }
    link = call("site/model/link.js", "write", run)
    assert re.fullmatch(r"#try\?[\w&=.%+-]+", link)
    assert call("site/model/link.js", "read", link, facts) == {"run": run, "problems": []}
    for other in ("", "#try", "#watch?x=1", "#try?"):
        assert call("site/model/link.js", "read", other, facts) is None


def test_a_hostile_link_says_little(site: SiteServer) -> None:
    fields = [
        "seed=1",
        "seed=2",
        "__proto__=1",
        "own=" + "x" * 10**6,
        "version=9%0A%E2%80%AE9" + "9" * 500,
    ]
    link = "#try?" + "&".join(fields + [f"x{i}={i}" for i in range(2000)])
    found = call("site/model/link.js", "read", link, site.facts)
    problems = found["problems"]
    assert problems[:2] == [
        "seed is there twice: the first one counts",
        "__proto__ is no setting of this version",
    ]
    assert problems[5:] == ["1997 more of its fields are of no use"]
    assert found["run"]["settings"]["seed"] == 1
    assert found["run"]["version"] == "9  9" + "9" * 96 + "…"
    assert len(found["run"]["source"]["name"]) == 100
