"""The commands that talk with a model: chat, serve."""

import os
from pathlib import Path

import click

import microgpt
from microgpt.cli.console import console
from microgpt.cli.options import PATH, engine_option, require, seed_option, temperature_option
from microgpt.runs.folder import RUNS

PORT = 8080


def default_port() -> int:
    """Return the port in the environment's PORT if it is a number, as hosting services set it.

    Anything else there is the serial port of a board, which is for microgpt-board.
    """
    text = os.environ.get("PORT", "")
    return int(text) if text.isdecimal() else PORT


@click.command("chat")
@click.argument("folder", type=PATH)
@temperature_option
@seed_option
@engine_option
def chat_command(folder: Path, temperature: float, seed: int, engine: str) -> None:
    """Talk with a model that was trained with --chat.

    Type /help for its commands.

    Example: microgpt chat runs/first --temperature 0.2
    """
    from microgpt.chat.prompt import talk
    from microgpt.chat.session import Chat

    talk(Chat(microgpt.load(folder, engine=engine), temperature, seed))


@click.command("serve")
@click.option(
    "--model",
    "folder",
    type=PATH,
    envvar="MODEL_DIR",
    required=True,
    show_envvar=True,
    help="Folder of a model or a run.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0: the whole network.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=default_port,
    show_default=f"PORT if it is a number, else {PORT}",
    envvar="MICROGPT_PORT",
    show_envvar=True,
    help="0: any free port.",
)
@click.option(
    "--runs", "root", type=PATH, default=RUNS, help="Folder of recorded runs [default: runs]."
)
@engine_option
def serve_command(folder: Path, host: str, port: int, root: Path, engine: str) -> None:
    """Serve a model over HTTP, with a page for the browser.

    Example: microgpt serve --model runs/first
    """
    require("serve", "fastapi", "fastapi_offline", "uvicorn")
    from microgpt.service.server import serve

    model = microgpt.load(folder, engine=engine)

    def announce(url: str) -> None:
        console.print(f"serving {folder} at {url}", markup=False)

    serve(model, host, port, root, announce)
