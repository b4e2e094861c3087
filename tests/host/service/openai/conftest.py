"""A service of two models, and OpenAI's own client of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.services import Service, serving

if TYPE_CHECKING:
    import openai


@pytest.fixture(scope="session")
def both_service(
    chat_folder: Path,
    names_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    served_runs: Path,
) -> Iterator[Service]:
    """The service of `talk`, a model that can chat, and `names`, one that cannot."""
    root = tmp_path_factory.mktemp("both")
    (root / "talk").symlink_to(chat_folder)
    (root / "names").symlink_to(names_folder)
    with serving(root / "talk", served_runs, root / "names") as service:
        yield service


@pytest.fixture
def client(both_service: Service) -> "Iterator[openai.OpenAI]":
    """OpenAI's client of that service."""
    openai = pytest.importorskip("openai", reason="needs openai: .venv/bin/pip install -e '.[dev]'")
    url = f"{both_service.url}/v1"
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=60) as client:
        yield client
