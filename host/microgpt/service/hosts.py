"""The names by which a browser may address the service.

Any page can have its own host name resolved to the address of the service (DNS rebinding), and
then reads the answers, because for the browser they come from that page's own host. The header
Host still has the page's name, so it is compared with the names of the service. An address cannot
be rebound.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable
from contextlib import suppress

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
HEADER = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s\[\]:/?#@\\]+))(?::[0-9]*)?", re.IGNORECASE)


class Hosts:
    """The hosts that requests may name: the loopback names, and those that are given."""

    def __init__(self, names: Iterable[str] = (), listens: str = "127.0.0.1") -> None:
        """Allow `names`, and those that belong to `listens`, the address of the listening socket.

        If it listens at every address, a request may name any address, and this computer.
        """
        listens = listens.partition("%")[0]  # without the network's interface
        self._every_address = ipaddress.ip_address(listens).is_unspecified
        own = socket.gethostname()
        computer = {own, f"{own}.local"} if self._every_address else {listens}
        self._names = LOOPBACK | {_plain(name) for name in (*names, *computer)}

    def allow(self, header: str | None) -> bool:
        """Return whether the service may be addressed as in `header`, the value of Host."""
        match = HEADER.fullmatch(header or "")
        if not match:
            return False
        name = _plain(match[1] or match[2])
        return name in self._names or (self._every_address and _is_address(name))


def _plain(name: str) -> str:
    """Return a name in the form that browsers send, an address in its short form."""
    name = name.lower().removesuffix(".").strip("[]")
    if _is_address(name):
        return str(ipaddress.ip_address(name))
    with suppress(UnicodeError):  # no name of a host: it stays what it is
        return name.encode("idna").decode("ascii")
    return name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
