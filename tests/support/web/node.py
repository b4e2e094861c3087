"""Functions of the pages' JavaScript, called in Node with values of Python.

Bytes and NumPy arrays of float32 become Uint8Array and Float32Array, and back.
"""

import base64
import fcntl
import functools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from microgpt_board.errors import ToolError
from microgpt_board.site import node

ROOT = Path(__file__).parents[3]
WEB = ROOT / "host" / "web"
RUNNER = Path(__file__).with_name("run_module.mjs")
NEEDED = "needs Node 18 or later: on Debian, apt install nodejs npm"


class JsError(Exception):
    """The JavaScript threw an Error; the message is its own."""


@functools.cache
def find_node() -> str:
    """Return the path of node with the libraries of the pages installed; skip if there is none."""
    try:
        found = node.find()
    except ToolError:
        pytest.skip(NEEDED)
    folder = os.open(WEB, os.O_RDONLY)  # one process installs, the others wait
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        node.install(WEB)
    finally:
        os.close(folder)
    return found


def call(module: str, function: str, *args: object) -> Any:
    """Return what `function` of a module, by its path in host/web, returns; JsError if it throws.

    A promise is awaited.
    """
    return evaluate(f"return (await load({module!r}))[{function!r}](...args)", *args)


def evaluate(code: str, *args: object) -> Any:
    """Return what `code` returns, the body of an async function with `args` and `load(module)`."""
    return _run(code, args)


def _run(code: str, args: tuple[object, ...]) -> Any:
    """Run the runner with one task; return its value, or raise JsError."""
    task = json.dumps({"code": code, "args": list(args)}, default=_packed)
    result = subprocess.run(
        [find_node(), RUNNER], input=task, capture_output=True, text=True, cwd=WEB, timeout=300
    )
    assert result.returncode == 0, result.stderr
    last = result.stdout.rstrip("\n").rpartition("\n")[2]  # a text may hold other line ends
    answer = json.loads(last, object_hook=_unpacked)
    if "error" in answer:
        raise JsError(answer["error"])
    return answer.get("value")


def _packed(value: object) -> object:
    if isinstance(value, bytes | bytearray):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, np.ndarray):
        data = value.astype("<f4").tobytes()
        return {"$float32": base64.b64encode(data).decode()}
    raise TypeError(f"{type(value)} cannot be handed to JavaScript")


def _unpacked(value: dict[str, Any]) -> Any:
    if "$bytes" in value:
        return base64.b64decode(value["$bytes"])
    if "$float32" in value:
        return np.frombuffer(base64.b64decode(value["$float32"]), "<f4")
    return value
