"""Fetch the 2018 list that microgpt's published figures use, from karpathy/makemore on GitHub.

python tools/names_makemore.py data/names-makemore.txt
"""

from pathlib import Path

import click
from microgpt.cli.options import PATH
from microgpt.cli.run import run
from microgpt_board.image.download import download

URL = "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt"
SHA256 = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"


@click.command()
@click.argument("target", type=PATH)
@click.option("--url", default=URL, hidden=True)  # for the tests
def names_makemore(target: Path, url: str) -> None:
    """Fetch the 2018 list of 32,033 names into the text file TARGET.

    Example: python tools/names_makemore.py data/names-makemore.txt
    """
    fetched = download(url, target, SHA256)
    click.echo(f"{target}: {'fetched' if fetched else 'already there'}, sha256 {SHA256}")


if __name__ == "__main__":
    run(names_makemore)
