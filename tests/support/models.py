"""Models that several tests need, and services of them."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import microgpt
import pytest
from microgpt import conversations, data

MICROGPT = Path(sys.executable).with_name("microgpt")


@pytest.fixture(scope="session")
def memorised() -> microgpt.Model:
    """A chat model that has learned the shipped conversations by heart."""
    talks, _ = conversations.read_conversations(conversations.CONVERSATIONS)
    config = microgpt.ModelConfig(n_embd=32, block_size=128)
    charset = data.charset_of([message.content for talk in talks for message in talk])
    model = microgpt.create(config, charset, special_tokens=conversations.SPECIAL_TOKENS)
    chats = conversations.chat_documents(model.tokenizer, talks, 128, assistant_only=True)
    for _ in microgpt.train(model, chats.documents, microgpt.TrainConfig(steps=2500)):
        pass
    return model


@pytest.fixture(scope="session")
def chat_folder(memorised: microgpt.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a model folder."""
    folder = tmp_path_factory.mktemp("chat") / "model"
    memorised.save(folder)
    return folder


@pytest.fixture(scope="session")
def names_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of names as a folder; it cannot chat."""
    model = microgpt.create(microgpt.ModelConfig())
    for _ in microgpt.train(model, ["emma", "olivia", "ava"], microgpt.TrainConfig(steps=100)):
        pass
    folder = tmp_path_factory.mktemp("names") / "model"
    model.save(folder)
    return folder


@dataclass(frozen=True)
class Service:
    """A running `microgpt serve`."""

    url: str
    pid: int


@contextmanager
def serving(folder: Path, runs: Path) -> Iterator[Service]:
    command = [MICROGPT, "serve", "--model", folder, "--port", "0", "--runs", runs]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said = process.stdout.readline()
        assert said.startswith("serving "), said + process.stderr.read()
        yield Service(said.split()[-1], process.pid)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in errors


@pytest.fixture(scope="session")
def runs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs/ of the services."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def chat_service(chat_folder: Path, runs_folder: Path) -> Iterator[Service]:
    """The service of a model that can chat."""
    with serving(chat_folder, runs_folder) as service:
        yield service


@pytest.fixture(scope="session")
def names_service(names_folder: Path, runs_folder: Path) -> Iterator[Service]:
    """The service of a model that cannot."""
    with serving(names_folder, runs_folder) as service:
        yield service
