"""The benchmarks of the board's side: what they report, not how fast anything is."""

import re
import shutil
from pathlib import Path

import pytest
from microgpt_board.emulation import cores
from microgpt_board.proof import bench, bench_kernels

from tests.support.commands import microgpt_board


def test_a_step_on_the_host_and_on_the_virtual_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # it builds a virtual board here
    monkeypatch.setattr(bench, "BOARD_REPEATS", 1)
    monkeypatch.setattr(bench, "LARGE_STEPS", {"portable": 1, "native": 3})
    host = bench.HostBench({"scalar": 50_000.0, "tensor": 100.0, "native": 4.26}, "a processor")
    monkeypatch.setattr(bench, "host_bench", lambda: host)
    output = microgpt_board("bench").stdout
    rows = {
        name: float(times.replace(",", ""))
        for name, times in re.findall(r"^ *(.+?) +[\d,.]+ +([\d,.]+) *$", output, re.MULTILINE)
    }
    assert (rows["engine scalar"], rows["engine tensor"]) == (1, 500)
    assert rows["engine native"] == pytest.approx(11_737, abs=1)
    assert re.search(r"^ *engine native +4\.3 ", output, re.MULTILINE)
    portable = rows["virtual board, portable kernels"]
    assert portable > 0
    if native := rows.get("virtual board, native kernels"):
        (ratio,) = re.findall(
            r"^the native kernels are ([\d,]+) times as fast", output, re.MULTILINE
        )
        assert int(ratio.replace(",", "")) == pytest.approx(native / portable, rel=0.1)
    assert "; a processor\n" in output
    large = output.partition("a step of 116,352 parameters")[2]
    times = re.findall(r"virtual board, (\w+) kernels +([\d,]+)", large)
    assert [name for name, _ in times] == (["portable", "native"] if native else ["portable"])
    assert all(int(us.replace(",", "")) > 1000 for _, us in times)


def test_instructions_of_each_kernel() -> None:
    for core in bench_kernels.CORES:
        if missing := cores.missing(core):
            pytest.skip(missing)
    output = microgpt_board("bench-kernels", "--document", "emma").stdout
    assert output.startswith("Instructions of a training step of 4,192 parameters on 'emma', ")
    rows = [line.split("|")[1:-1] for line in output.splitlines() if line.startswith("|")]
    assert [name.strip() for name in rows[0][3::2]] == [
        "Xtensa (xtensawin)",
        "Cortex-M4 (armv7emsp)",
    ]
    assert {len(row) for row in rows} == {7}
    for column in (3, 5):
        *kernels, total = [int(re.sub(r"\D", "", row[column])) for row in rows[2:]]
        assert total == sum(kernels) > 0
    calls = bench_kernels.step_calls("emma")
    assert {row[0].strip() for row in rows[2:-1]} == {call.name for call in calls}


def test_a_core_that_is_not_here_has_no_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("clang-22", "qemu-system-xtensa"):
        if not (found := shutil.which(program)):
            pytest.skip(f"needs {program}")
        (tmp_path / program).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = microgpt_board("bench-kernels")
    assert result.returncode == 0
    assert "Xtensa" in result.stdout and "Cortex" not in result.stdout
    assert result.stderr == (
        "no column for the Cortex-M4: no qemu-system-arm: apt install qemu-system-arm\n"
    )
    (tmp_path / "qemu-system-xtensa").unlink()
    result = microgpt_board("bench-kernels")
    assert result.returncode == 1
    assert result.stderr == (
        "error: no qemu-system-xtensa: apt install qemu-system-misc; "
        "no qemu-system-arm: apt install qemu-system-arm\n"
    )


def test_a_step_that_no_board_has_memory_for_is_not_counted() -> None:
    result = microgpt_board("bench-kernels", "--n-embd", "1024", "--n-layer", "64")
    assert result.returncode == 1
    assert "805,378,048 parameters" in result.stderr
    assert "what fits: " in result.stderr
    assert result.stderr.count("\n") == 1
    result = microgpt_board("bench-kernels", "--block-size", "1000000000")
    assert "1000000000 is not in the range 1<=x<=256" in result.stderr
