"""Node, the bundler and the libraries of the site: found, and installed as the lock file says."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path
from textwrap import shorten

from microgpt.system import files

from microgpt_board.errors import ToolError

OLDEST = 18
NEEDED = f"needs Node {OLDEST} or later with npm"
WHERE = "on Debian, apt install nodejs npm; elsewhere see nodejs.org"
LOCK = "package-lock.json"
LONGEST = 300  # characters of what a program says of its failure
INSTALLED = ".installed"  # in node_modules: of which lock file they are


def find() -> str:
    """Return the path of node; raise ToolError if there is none, or it is too old."""
    node = shutil.which("node")
    if not node:
        raise ToolError(f"make site {NEEDED}, and there is no Node here: {WHERE}")
    said = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip()
    version = re.match(r"v(\d+)\.", said)
    if not version or int(version[1]) < OLDEST:
        raise ToolError(f"make site {NEEDED}, and {node} is {said or 'of no version'}: {WHERE}")
    return node


def install(folder: Path) -> None:
    """Install what the lock file in `folder` lists into its node_modules, unless it is there.

    Raises ToolError if there is no npm, or if it fails.
    """
    lock = hashlib.sha256((folder / LOCK).read_bytes()).hexdigest()
    mark = folder / "node_modules" / INSTALLED
    if mark.exists() and mark.read_text() == lock:
        return
    npm = shutil.which("npm")
    if not npm:
        raise ToolError(f"make site {NEEDED}, and there is no npm here: {WHERE}")
    command = [npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"]
    run(command, folder, "npm ci, which fetches the libraries from the network,")
    files.write(mark, lock)


def run(command: list[str], folder: Path, name: str) -> str:
    """Run a command in `folder` and return what it printed; raise ToolError if it fails."""
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode:
        said = shorten(result.stderr or result.stdout, LONGEST, placeholder=" ...")
        raise ToolError(f"{name} failed: {said or 'it does not say why'}")
    return result.stdout
