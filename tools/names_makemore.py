"""Fetch the 2018 list that microgpt's published figures use, from karpathy/makemore on GitHub.

python -m tools.names_makemore data/names-makemore.txt
"""

import argparse
from pathlib import Path

from microgpt_board.errors import parser_of, run
from microgpt_board.image.download import download

URL = "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt"
SHA256 = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"


def main() -> None:
    parser = parser_of("names_makemore", __doc__)
    parser.add_argument("target", type=Path, help="text file to write, 32,033 names")
    parser.add_argument("--url", default=URL, help=argparse.SUPPRESS)  # for the tests
    arguments = parser.parse_args()
    fetched = download(arguments.url, arguments.target, SHA256)
    print(f"{arguments.target}: {'fetched' if fetched else 'already there'}, sha256 {SHA256}")


if __name__ == "__main__":
    run(main)
