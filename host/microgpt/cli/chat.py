"""The commands that talk with a model: chat, serve."""

import os
from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource

import microgpt
from microgpt.cli.console import say
from microgpt.cli.options import PATH, engine_option, require, sampling_options, seed_option
from microgpt.model_io.folder import CHECKPOINT, TENSORS
from microgpt.runs import info
from microgpt.runs.folder import RUNS
from microgpt.sampling import Sampling

PORT = 8080


def default_port() -> int:
    """Return the port in the environment's PORT if it is a number, as hosting services set it.

    Anything else there is the serial port of a board, which is for microgpt-board.
    """
    text = os.environ.get("PORT", "")
    return int(text) if text.isdecimal() else PORT


@click.command("chat")
@click.argument("folder", type=PATH)
@sampling_options
@seed_option
@engine_option
@click.option(
    "--system", default="", metavar="TEXT", help="What the system says before the first message."
)
def chat_command(folder: Path, seed: int, engine: str, system: str, sampling: Sampling) -> None:
    """Talk with a model that was trained with --chat.

    Type /help for its commands.

    Example: microgpt chat runs/talk --temperature 0.2
    """
    from microgpt.chat.prompt import talk
    from microgpt.chat.session import Chat

    talk(Chat(microgpt.load(folder, engine=engine), sampling, seed, system=system))


@click.command("serve")
@click.argument("folders", metavar="[FOLDER]...", type=PATH, nargs=-1)
@click.option(
    "--model",
    type=PATH,
    envvar="MODEL_DIR",
    show_envvar=True,
    help="FOLDER, if it is not given as an argument.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0: the whole network.")
@click.option(
    "--allow-host",
    "allowed",
    multiple=True,
    metavar="NAME",
    help="A host name in browsers' addresses of the service, beside localhost and --host.",
)
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
def serve_command(
    folders: Sequence[Path],
    model: Path | None,
    host: str,
    allowed: Sequence[str],
    port: int,
    root: Path,
    engine: str,
) -> None:
    """Serve models over HTTP, with a page for the browser.

    FOLDER is a model's, or that of a run, or a safetensors file. The page has the first; clients of
    OpenAI's API choose by the folder's name, at the base URL that ends with /v1.

    Example: microgpt serve runs/first
    """
    source = click.get_current_context().get_parameter_source("model")
    if folders and source is ParameterSource.COMMANDLINE:
        raise click.UsageError("give the model's folder as FOLDER or with --model, not both")
    chosen = folders or ((model,) if model else ())
    if not chosen:
        raise click.UsageError("Missing argument 'FOLDER'")
    require("serve", "fastapi", "fastapi_offline", "uvicorn")
    from microgpt.service.server import serve

    named = by_name(chosen)
    models = {name: microgpt.load(folder, engine=engine) for name, folder in named.items()}

    def announce(url: str) -> None:
        say(f"serving {', '.join(named)} at {url}")

    serve(models, host, port, root, announce, allowed)


def by_name(paths: Sequence[Path]) -> dict[str, Path]:
    """Return models' folders and files by the names that they are served under.

    That is the folder's name, the run's for the model in a run's folder, and a file's name without
    its suffix, if that is not the name that all such files have. Raises click.UsageError if two
    have one name.
    """
    named: dict[str, Path] = {}
    for given in paths:
        path = Path(os.path.abspath(given))  # "." has no name
        if path.name in (TENSORS, CHECKPOINT):
            path = path.parent
        if path.name == "model" and (path.parent / info.FILE).exists():
            path = path.parent
        bare = os.fsencode(path.stem if path.is_file() else path.name)
        name = bare.decode("utf-8", "backslashreplace")
        if name in named:
            raise click.UsageError(
                f"{named[name]} and {given} are both called {name}: rename a folder"
            )
        named[name] = given
    return named
