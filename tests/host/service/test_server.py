"""The server: addresses that it cannot have, and Ctrl-C."""

import signal
import subprocess
import sys
from pathlib import Path

import microgpt
import pytest
from microgpt.chat.conversations import SPECIAL_TOKENS

from tests.support.commands import run
from tests.support.services import Service

httpx = pytest.importorskip("httpx", reason="needs httpx: .venv/bin/pip install -e '.[dev]'")
pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")


def test_addresses_that_cannot_be_used(names_service: Service, names_folder: Path) -> None:
    port = names_service.url.rpartition(":")[2]
    for words, reason in [
        (["--port", port], f"cannot listen at 127.0.0.1:{port}: Address already in use; choose "),
        (["--host", "nowhere.invalid"], "cannot listen at nowhere.invalid:8080: "),
        (["--host", "ü" * 70], f"cannot listen at {'ü' * 70}:8080: not the name of a host; "),
        (["--port", "65536"], "Invalid value for '--port'"),
    ]:
        result = run("serve", "--model", names_folder, *words, code=None)
        assert result.returncode in (1, 2)
        assert result.stderr.startswith(f"error: {reason}")
        assert result.stderr.count("\n") == 1


def test_ctrl_c_does_not_wait_for_what_still_computes(tmp_path: Path) -> None:
    config = microgpt.ModelConfig(n_embd=64, n_layer=4, block_size=4096)
    model = microgpt.create(config, special_tokens=SPECIAL_TOKENS)
    for token in (0, *map(model.tokenizer.special, SPECIAL_TOKENS)):
        model.weights["lm_head"][token] = 0  # never the likeliest: a reply fills the block
    model.save(tmp_path / "slow")
    command = [Path(sys.executable).with_name("microgpt"), "serve", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--model", tmp_path / "slow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = process.stdout.readline().split()[-1]
        body = {"messages": [{"role": "user", "content": "hi"}], "temperature": 0, "stream": True}
        with httpx.stream("POST", f"{url}/microgpt/v1/chat", json=body, timeout=60) as response:
            lines = response.iter_lines()
            assert next(lines).startswith("data: ")
            process.send_signal(signal.SIGINT)
            assert "event: error" in lines
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, errors) == (0, "")
