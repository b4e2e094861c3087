"""The command `microgpt`."""

from typing import NoReturn

import click
import numpy as np

from microgpt.cli import chat, lab, model, train
from microgpt.cli.run import debug_option, run


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nTab completion in bash; for zsh or fish, zsh_source or fish_source:\n"
    '  eval "$(_MICROGPT_COMPLETE=bash_source microgpt)"',
)
@debug_option
@click.version_option(package_name="microgpt-esp32")
def cli() -> None:
    """Train and sample microgpt: the board's model, and larger ones."""


for command in (
    train.train,
    train.resume,
    model.generate,
    model.info,
    model.gradcheck,
    lab.ablate,
    lab.bench,
    lab.plot,
    lab.show,
    chat.chat,
    chat.serve,
):
    cli.add_command(command)
cli.add_command(model.generate, "sample")


def main() -> NoReturn:
    """Run the command line `microgpt`."""
    np.seterr(all="ignore")  # an overflow ends in an error of our own
    run(cli)
