"""Fetch one known file over HTTPS, and keep it only if it is what it should be."""

import hashlib
import urllib.request
from http.client import HTTPException
from pathlib import Path

from microgpt_board.errors import ToolError

TIMEOUT_S = 30


def download(url: str, target: Path, sha256: str) -> bool:
    """Make `target` the file behind `url`; return False if it was there already.

    Raises ToolError, in one line, if there is no way to the server or the sha256 differs; whatever
    was at `target` then stays as it was.
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
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(target.name + ".new")
    scratch.write_bytes(data)
    scratch.replace(target)
    return True
