"""Build the site: bundle the page, and put beside it what it fetches."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from microgpt.cli.options import PATH
from microgpt.system import files

from microgpt_board import resources
from microgpt_board.errors import ToolError
from microgpt_board.site import facts, node
from microgpt_board.site import images as of_boards

TARGET = Path("build") / "site"
FACTS = "site.json"  # tells a site from another folder
MICROPYTHON = "node_modules/@micropython/micropython-webassembly-pyscript"


def sources() -> Path:
    """Return the folder of the page's sources; raise ToolError where there is only a wheel."""
    folder = files.packaged("microgpt.web")
    if not (folder / "build.mjs").exists():
        raise ToolError(
            "the sources of the site are not in an installed package: run make site in a checkout"
        )
    return folder


def build(target: Path, images: tuple[Path, ...] = ()) -> str:
    """Build the site as the folder `target`, which it replaces; return a line about it.

    `images` are images for boards, that the page can flash. Raises ToolError if Node is missing or
    something cannot be built; `target` is then unchanged.
    """
    web = sources()
    program = node.find()
    place = target.resolve()  # of a link, the folder that it leads to
    if place.exists() and not (place / FACTS).exists():
        raise ToolError(f"{target} is there and is no site: name another folder")
    node.install(web)
    place.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent) as folder:
        new = Path(folder) / "new"
        fill(new, web, images)
        node.run([program, "build.mjs", str(new)], web, "the bundler")
        _replace(place, new, Path(folder) / "old")
    size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    return f"{target}: {size:,} bytes; make site-serve shows it, and any web server can send it"


def _replace(place: Path, new: Path, old: Path) -> None:
    """Let `new` be the folder `place`, and what is there `old`; if that fails, nothing changes."""
    if place.exists():
        place.rename(old)
    try:
        new.rename(place)
    except BaseException:
        if old.exists() and not place.exists():
            old.rename(place)
        raise


def fill(folder: Path, web: Path, images: tuple[Path, ...]) -> None:
    """Write into `folder` all that is no bundle: facts, program, kernels, lists, images."""
    lock = json.loads((web / node.LOCK).read_text())
    micropython = lock["packages"][MICROPYTHON]["version"].partition("-")[0]
    folder.mkdir(parents=True)
    (folder / "data").mkdir()
    for name, path in facts.lists().items():
        shutil.copyfile(path, folder / name)
    kernels = resources.firmware(facts.KERNELS)
    shutil.copyfile(kernels, folder / kernels.name)
    files.write(folder / "program.json", facts.as_json(facts.program()))
    files.write(
        folder / FACTS, facts.as_json(facts.site(micropython, of_boards.copy(images, folder)))
    )


@click.command("site")
@click.argument("target", type=PATH, default=TARGET)
@click.option(
    "--image",
    "images",
    type=PATH,
    multiple=True,
    help="An image for a board, which the page can flash; as microgpt-board image built it.",
)
def site_command(target: Path, images: tuple[Path, ...]) -> None:
    """Build the site in the browser as the folder TARGET.

    Example: microgpt-board site --image build/ESP32_GENERIC/image.bin
    """
    click.echo(build(target, images))
