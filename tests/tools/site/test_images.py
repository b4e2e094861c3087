"""Images go into the site with their manifests; what does not belong together is refused."""

import json
import shutil
from pathlib import Path

import pytest
from microgpt_board.errors import ToolError
from microgpt_board.image import boards, image
from microgpt_board.image.names_bin import Source
from microgpt_board.site import images

from tests.support.release import release


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images of two boards."""
    folder = tmp_path_factory.mktemp("built")
    names = folder / "names.txt"
    names.write_text("emma\nolivia\n")
    for board in map(boards.find, ("ESP32_GENERIC", "ESP32_GENERIC_S3")):
        firmware = folder / f"{board.name}.bin"
        firmware.write_bytes(release(board))
        image.write_image(folder / board.name / "image.bin", board, firmware, Source(names))
    return folder


def test_each_image_has_a_folder(built: Path, tmp_path: Path):
    given = [built / name / "image.bin" for name in ("ESP32_GENERIC", "ESP32_GENERIC_S3")]
    found = images.copy(given, tmp_path)
    assert found == [
        {"board": name, "manifest": f"images/{name}/manifest.json"}
        for name in ("ESP32_GENERIC", "ESP32_GENERIC_S3")
    ]
    for one, source in zip(found, given, strict=True):
        beside = tmp_path / one["manifest"]
        about = json.loads(beside.read_text())
        part = about["builds"][0]["parts"][0]["path"]
        assert beside.with_name(part).read_bytes() == source.read_bytes()
    assert images.copy([], tmp_path) == []


def test_two_images_for_a_board(built: Path, tmp_path: Path):
    image_file = built / "ESP32_GENERIC" / "image.bin"
    with pytest.raises(ToolError, match="^two images are for ESP32_GENERIC: name one of them$"):
        images.copy([image_file, image_file], tmp_path)


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        (None, "^there is no manifest.json beside .*image.bin: build the image again"),
        ("{", "manifest.json is damaged: build the image again, with microgpt-board image$"),
        ("[1]", "manifest.json is damaged"),
        ("{}", "manifest.json is damaged"),
        ('{"sha256": "0"}', "manifest.json is about another image than .*image.bin: build"),
    ],
)
def test_a_manifest_that_is_not_the_images(tmp_path: Path, manifest: str | None, complaint: str):
    image_file = tmp_path / "image.bin"
    image_file.write_bytes(b"an image")
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(ToolError, match=complaint):
        images.copy([image_file], tmp_path / "site")


@pytest.mark.parametrize(
    "changes",
    [
        {"board": {"name": "../../photos"}},
        {"board": 5},
        {"builds": []},
        {"builds": [{"parts": [{"path": "../../../index.html"}]}]},
    ],
)
def test_a_manifest_that_leads_elsewhere(
    built: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    image_file = tmp_path / "image.bin"
    shutil.copytree(built / "ESP32_GENERIC", tmp_path, dirs_exist_ok=True)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changes))
    with pytest.raises(ToolError, match="manifest.json is damaged: build the image again"):
        images.copy([image_file], tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_an_image_that_is_not_there(tmp_path: Path):
    with pytest.raises(ToolError, match="nothing.bin is not a file: microgpt-board image builds"):
        images.copy([tmp_path / "nothing.bin"], tmp_path)
