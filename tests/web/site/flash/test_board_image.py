"""Own documents and settings, put into an image by the page: the bytes that the tool writes."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from microgpt_board.image import boards, image, names_bin, partitions
from microgpt_board.image.names_bin import Source
from microgpt_board.site import facts
from ugpt import app

from tests.support.commands import microgpt_board
from tests.support.release import release
from tests.support.web.node import JsError, call, evaluate

MODULE = "site/flash/image.js"
ESP32 = boards.find("ESP32_GENERIC")
SITE = facts.site("1.29.0", [])
PLACE = partitions.read()["names"]

# The text of a list, and the options of the tool for it and for the model.
CASES: dict[str, tuple[str, dict[str, int | bool]]] = {
    "one": ("emma\n", {}),
    "accents": ("Zoë\nAnaïs\nAïcha\nJosé\n", {}),
    "width": ("emma\nolivia\n", {"n_embd": 20}),
    "heads": ("emma\nolivia\n", {"n_embd": 12, "n_head": 3}),
    "layers": ("emma\n", {"n_embd": 8, "n_head": 2, "n_layer": 3}),
    "tied": ("emma\nava\n", {"tie_lm_head": True}),
    "norm": ("emma\nava\n", {"input_rmsnorm": False}),
    "long": ("a document of more characters\nnine\n", {"block_size": 32}),
    "short": ("ab\nabc\nabcd\n", {"block_size": 17, "n_embd": 8}),
    "odd": ("seventeen letters\n", {"block_size": 20, "n_head": 1}),
    "longest": ("x" * 127 + "\n", {"block_size": 128, "n_embd": 4, "n_head": 1}),
    "all": (
        "Zürich\nGenève\n",
        {
            "n_embd": 9,
            "n_head": 3,
            "n_layer": 2,
            "block_size": 32,
            "tie_lm_head": True,
            "input_rmsnorm": False,
        },
    ),
    "full": ("emma\n" * ((PLACE.size - 48) // 16), {}),
    "records": ("ab\n" * 1000 + "xyz\n" * 1000, {"n_head": 2}),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, Any], Path]:
    """An image of the names, its manifest, and the release of MicroPython in it."""
    folder = tmp_path_factory.mktemp("image")
    firmware = folder / "release.bin"
    firmware.write_bytes(release(ESP32))
    target = folder / "image.bin"
    image.write_image(target, ESP32, firmware, Source(Path("data/names.txt")))
    return target.read_bytes(), json.loads((folder / "manifest.json").read_text()), firmware


def options(settings: dict[str, int | bool]) -> list[str]:
    """Return the settings as options of the command."""
    words = []
    for name, value in settings.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", str(value)]
    return words


@pytest.mark.parametrize("case", CASES)
def test_the_bytes_are_those_of_the_tool(
    built: tuple[bytes, dict[str, Any], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
) -> None:
    data, manifest, firmware = built
    text, settings = CASES[case]
    monkeypatch.chdir(tmp_path)
    Path("own.txt").write_text(text, encoding="utf-8")
    words = ["image", "--firmware", firmware, "--names", "own.txt", *options(settings)]
    result = microgpt_board(*words)
    assert result.returncode == 0, result.stderr
    block_size = settings.get("block_size")
    names = names_bin.read(Source(Path("own.txt"), block_size=block_size)).data
    # As the tab Try has them: every setting, those that nobody changed too.
    values = call("site/model/values.js", "usual", SITE) | settings
    given = call(MODULE, "settingsOf", values, SITE)
    own = call(MODULE, "withOwn", data, manifest, names, given)
    tools = image.path_of(ESP32).read_bytes()
    assert hashlib.sha256(own).digest() == hashlib.sha256(tools).digest()
    assert (own == data) is False


def test_settings_that_the_tool_has_no_option_for(
    built: tuple[bytes, dict[str, Any], Path],
) -> None:
    data, manifest, _ = built
    run = {"seed": 4294967295, "steps": 500, "lr": 1e-6, "temperature": 1.5, "n_embd": 16}
    given = call(MODULE, "settingsOf", run, SITE)
    assert list(given) == ["seed", "steps", "lr", "temperature"]
    own = call(MODULE, "withOwn", data, manifest, b"names", given)
    place = manifest["settings"]
    content = own[place["offset"] :][: place["size"]]
    settings, remarks = app.complete(json.loads(content))
    assert remarks == []
    assert {name: settings[name] for name in run} == run


def test_a_list_that_is_larger_than_its_partition(
    built: tuple[bytes, dict[str, Any], Path],
) -> None:
    data, manifest, _ = built
    message = "^The documents take 786,433 bytes, the board has room for 786,432: use fewer"
    with pytest.raises(JsError, match=message):
        call(MODULE, "withOwn", data, manifest, bytes(PLACE.size + 1), {})
    whole = bytes(range(256)) * (PLACE.size // 256)
    own = call(MODULE, "withOwn", data, manifest, whole, {})
    assert own[PLACE.offset : PLACE.end] == whole
    assert own[PLACE.end :] == data[PLACE.end :]


def test_settings_without_room(built: tuple[bytes, dict[str, Any], Path]) -> None:
    data, manifest, _ = built
    settings = {f"{'x' * 40}{i}": i for i in range(12)}
    with pytest.raises(JsError, match=r"^The settings take \d+ bytes, the image has room for 512"):
        call(MODULE, "withOwn", data, manifest, b"names", settings)


def test_an_image_that_is_damaged(built: tuple[bytes, dict[str, Any], Path]) -> None:
    data, manifest, _ = built
    call(MODULE, "check", data, manifest)
    for wrong in (data[:-1], data[:5000] + b"?" + data[5001:], b""):
        with pytest.raises(JsError, match="^The image of ESP32_GENERIC on this site is damaged"):
            call(MODULE, "check", wrong, manifest)


@pytest.mark.parametrize("content", ["", "<!doctype html>", "null", "[]", "{}", '{"builds": [{}]}'])
def test_a_manifest_that_is_damaged(content: str) -> None:
    code = f"""
        globalThis.fetch = async () => new Response(args[0]);
        const {{ fetchManifest }} = await load("{MODULE}");
        return fetchManifest("images/manifest.json");"""
    with pytest.raises(JsError, match="The manifest images/manifest.json on this site is damaged"):
        evaluate(code, content)
