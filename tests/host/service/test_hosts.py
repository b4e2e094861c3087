"""Which values of the header Host the service answers."""

import socket

import pytest

httpx = pytest.importorskip("httpx", reason="needs httpx: .venv/bin/pip install -e '.[dev]'")
pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

from microgpt.service.hosts import Hosts  # noqa: E402 - of the service

LOOPBACK = ["localhost", "LOCALHOST.", "localhost:80", "127.0.0.1:8080", "[::1]", "[0:0::1]:8080"]
STRANGE = [
    "",
    "evil.example",
    "localhost.evil.example",
    "evil.example:8080",
    "localhost@evil.example",
    "evil.example@localhost",
    "evil.example#localhost",
    "localhost/evil",
    "localhost:evil",
    "local host",
    "[localhost]",
    "::1",
    "[::2]",
    "127.0.0.1.evil.example",
    "192.0.2.1",
]


@pytest.mark.parametrize(
    ("hosts", "more"),
    [
        (Hosts(), []),
        (Hosts(["127.0.0.1"], "127.0.0.1"), []),
        (Hosts(["::1"], "::1"), []),
        (Hosts(["pc.lan"], "192.0.2.7"), ["pc.lan:80", "192.0.2.7"]),
        (Hosts(["gpt.example"]), ["gpt.example"]),
        (Hosts(["Müller.lan"]), ["xn--mller-kva.lan:8080"]),
        (Hosts(["fe80::1"], "fe80::1"), ["[fe80::1]:80"]),
    ],
)
def test_a_request_names_the_loopback_or_what_was_given(hosts: Hosts, more: list[str]) -> None:
    assert all(map(hosts.allow, LOOPBACK + more))
    assert not any(map(hosts.allow, STRANGE))
    assert not hosts.allow(None)


@pytest.mark.parametrize("listens", ["0.0.0.0", "::"])
def test_a_service_for_the_network_answers_to_addresses_and_its_computer(listens: str) -> None:
    hosts = Hosts([listens], listens)
    own = socket.gethostname()
    names = ["192.0.2.1", "192.0.2.1:8080", "[2001:db8::1]:8080", own, f"{own}.local:8080"]
    assert all(map(hosts.allow, LOOPBACK + names))
    assert not any(map(hosts.allow, ["evil.example", "192.0.2.1.evil.example", "::1", ""]))


@pytest.mark.parametrize("path", ["/", "/docs", "/healthz", "/page/", "/microgpt/v1/runs"])
def test_a_page_elsewhere_cannot_reach_the_service_by_dns_rebinding(
    names: httpx.Client, path: str
) -> None:
    response = names.get(path, headers={"Host": "evil.example:8080"})
    assert response.status_code == 400
    assert "--allow-host" in response.json()["detail"]
    assert "content-security-policy" in response.headers
