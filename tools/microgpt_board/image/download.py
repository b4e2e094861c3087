"""Fetch one known file over HTTPS, and keep it only if its SHA-256 is the expected one."""

import hashlib
import urllib.request
from http.client import HTTPException
from pathlib import Path

from microgpt.system import files

from microgpt_board.errors import ToolError

TIMEOUT_S = 30


def download(url: str, target: Path, sha256: str) -> bool:
    """Make `target` the file at `url`; return False if it was there already.

    Raises ToolError if the server cannot be reached or the SHA-256 differs; `target` is then
    unchanged.
    """
    if target.exists() and hashlib.sha256(target.read_bytes()).hexdigest() == sha256:
        return False
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            data = response.read()
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise ToolError(
            f"cannot fetch {url} ({reason}): download it elsewhere and put it at {target}"
        ) from None
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ToolError(f"{url} has sha256 {found}, expected {sha256}: not kept")
    files.write(target, data)
    return True
