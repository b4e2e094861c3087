"""The command `microgpt`."""

from typing import NoReturn

import click
import numpy as np

from microgpt.cli import chat, lab, model, train
from microgpt.cli.run import debug_option, run


@click.group(
    "microgpt",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nTab completion in bash; for zsh or fish, zsh_source or fish_source:\n"
    '  eval "$(_MICROGPT_COMPLETE=bash_source microgpt)"',
)
@debug_option
@click.version_option(package_name="microgpt-esp32")
def cli() -> None:
    """Train and sample microgpt: the board's model, and larger ones."""


for command in (
    train.train_command,
    train.resume_command,
    model.generate_command,
    model.info_command,
    model.export_command,
    model.gradcheck_command,
    lab.ablate_command,
    lab.bench_command,
    lab.plot_command,
    lab.show_command,
    chat.chat_command,
    chat.serve_command,
):
    cli.add_command(command)
cli.add_command(model.generate_command, "sample")


def main() -> NoReturn:
    """Run the command line of this process and exit."""
    np.seterr(all="ignore")  # an overflow ends in an error of our own
    run(cli)
