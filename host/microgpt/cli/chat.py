"""The commands for talking with a model: chat, serve."""

from pathlib import Path

import click

import microgpt
from microgpt.cli.console import console
from microgpt.cli.options import PATH, engine_option, require
from microgpt.runs.folder import RUNS


@click.command()
@click.argument("folder", type=PATH)
@click.option("--temperature", default=0.5, show_default=True, help="0: always the likeliest.")
@click.option("--seed", default=42, show_default=True, help="The same seed, the same replies.")
@engine_option
def chat(folder: Path, temperature: float, seed: int, engine: str) -> None:
    """Talk with a model trained with --chat; /help lists what else.

    Example: microgpt chat runs/first --temperature 0.2
    """
    from microgpt.chat.prompt import talk
    from microgpt.chat.session import Chat

    talk(Chat(microgpt.load(folder, engine=engine), temperature, seed))


@click.command()
@click.option("--model", "folder", type=PATH, envvar="MODEL_DIR", required=True, show_envvar=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0: the whole network.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default="8080; 0: any that is free",
    envvar="PORT",
    show_envvar=True,
)
@click.option("--runs", "root", type=PATH, default=RUNS, help="Recorded runs [default: runs].")
@engine_option
def serve(folder: Path, host: str, port: int, root: Path, engine: str) -> None:
    """Serve a model over HTTP, with a page for the browser.

    Example: microgpt serve --model runs/first
    """
    require("serve", "fastapi", "fastapi_offline", "uvicorn")
    from microgpt.service.server import serve

    model = microgpt.load(folder, engine=engine)

    def announce(url: str) -> None:
        console.print(f"serving {folder} at {url}", markup=False)

    serve(model, host, port, root, announce)
