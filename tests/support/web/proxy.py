"""A proxy that refuses everything, and keeps what was asked for: nothing leaves unseen."""

import socket
import threading
from contextlib import suppress


class RefusingProxy:
    """A proxy at `address`; `asked` are the first lines of all requests, which it answers with 403.

    A browser asks it for all hosts but this computer's own, from pages and workers alike.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection, suppress(OSError):
                connection.settimeout(5)
                line = connection.recv(4096).split(b"\r\n")[0].decode(errors="replace")
                if line == "END":
                    return
                self.asked.append(line)
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    def close(self) -> None:
        """End it."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"END\r\n")
        self._thread.join()
        self._listener.close()
