"""The limit of a request's body, over real HTTP."""

import pytest

httpx = pytest.importorskip("httpx", reason="needs httpx: .venv/bin/pip install -e '.[dev]'")
pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")


def test_a_body_over_64_kb(names: httpx.Client) -> None:
    def post(content: object) -> int:
        headers = {"Content-Type": "application/json"}
        return names.post("/microgpt/v1/generate", content=content, headers=headers).status_code

    assert post(b"{}" + b" " * (64 * 1024 - 2)) == 200
    assert post(b"{}" + b" " * (64 * 1024 - 1)) == 413
    assert post(iter([b"{}", b" " * 64 * 1024])) == 413  # chunks, without a length
    assert names.get("/healthz").status_code == 200
