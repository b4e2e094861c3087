"""Print the coverage of the tests; fail if a file is below 85 % without a reason.

Only Python in CPython counts: what the tests run in MicroPython does not, nor C and JavaScript.
"""

import json
import sys
import tempfile
from pathlib import Path

from coverage import Coverage

ENOUGH = 85

IN_MICROPYTHON = "the rest runs in MicroPython: tests/tools/device/"

# Why the tests run less of a file.
REASONS = {
    "firmware/ugpt/__init__.py": f"{IN_MICROPYTHON}test_repl.py",
    "firmware/ugpt/app.py": f"{IN_MICROPYTHON}test_run.py",
    "firmware/ugpt/backend.py": "runs in MicroPython: tests/tools/emulation/test_choice.py",
    "firmware/ugpt/board.py": f"{IN_MICROPYTHON}test_run.py, and what only an ESP32 has",
    "firmware/ugpt/native.py": "imports machine code: tests/firmware/test_native.py in MicroPython",
    "firmware/ugpt/repl.py": f"{IN_MICROPYTHON}test_repl.py",
    "firmware/ugpt/report.py": f"{IN_MICROPYTHON}test_run.py",
    "firmware/ugpt/transfer.py": f"{IN_MICROPYTHON}test_transfer.py and test_weights.py",
    "host/microgpt/service/server.py": "the rest runs where no file can be opened, and so no "
    "coverage written: tests/host/service/test_connection.py",
}


def percentages() -> dict[str, tuple[int, int]]:
    """Return {file: (number of lines, number of lines that were run)} from `.coverage`."""
    coverage = Coverage()
    coverage.load()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        coverage.json_report(outfile=str(report))
        files = json.loads(report.read_text())["files"]
    return {
        name: (file["summary"]["num_statements"], file["summary"]["covered_lines"])
        for name, file in files.items()
    }


def main() -> int:
    files = percentages()
    for part in ("host", "tools", "firmware"):
        numbers = [numbers for name, numbers in files.items() if name.startswith(f"{part}/")]
        lines, run = (sum(column) for column in zip(*numbers, strict=True))
        print(f"{run / lines:6.1%}  {part}: {run} of {lines} lines in {len(numbers)} files")
    below = {
        name: run / lines for name, (lines, run) in files.items() if run * 100 < lines * ENOUGH
    }
    print(f"\nbelow {ENOUGH} %:")
    for name, share in sorted(below.items()):
        print(f"{share:6.1%}  {name}: {REASONS.get(name, 'NO REASON')}")
    for name in sorted(set(REASONS) - set(below)):
        print(f"        {name} no longer needs its reason")
    unexplained = sorted(set(below) - set(REASONS))
    if unexplained:
        names = ", ".join(unexplained)
        print(f"error: test more of {names}; or write the reason in {__file__}", file=sys.stderr)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
