"""The benchmarks of the board's side: what they report, not how fast anything is."""

import re
from pathlib import Path

import pytest
from microgpt_board.emulation import xtensa
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
    if missing := xtensa.missing():
        pytest.skip(missing)
    output = microgpt_board("bench-kernels", "--document", "emma").stdout
    assert output.startswith("A training step of 4,192 parameters on 'emma', ")
    rows = [line.split(" | ") for line in output.splitlines() if line.startswith("| ")][1:]
    *kernels, total = [int(re.sub(r"\D", "", row[2])) for row in rows]
    assert total == sum(kernels)
    calls = bench_kernels.step_calls("emma")
    assert {row[0].strip("| ") for row in rows[:-1]} == {call.name for call in calls}


def test_a_step_that_no_board_has_memory_for_is_not_counted() -> None:
    result = microgpt_board("bench-kernels", "--n-embd", "1024", "--n-layer", "64")
    assert result.returncode == 1
    assert "805,378,048 parameters" in result.stderr
    assert "what fits: " in result.stderr
    assert result.stderr.count("\n") == 1
    result = microgpt_board("bench-kernels", "--block-size", "1000000000")
    assert "1000000000 is not in the range 1<=x<=256" in result.stderr
