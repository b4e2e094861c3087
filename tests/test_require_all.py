"""REQUIRE_ALL=1: a skip is a failure, unless its reason is on the list."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KINDS = {
    "mark": "@pytest.mark.skip(reason='no gcc')\ndef test_it(): ...",
    "call": "def test_it(): pytest.skip('no gcc')",
    "fixture": "@pytest.fixture\ndef gcc(): pytest.skip('no gcc')\ndef test_it(gcc): ...",
    "file": "pytestmark = pytest.mark.skipif(True, reason='no gcc')\ndef test_it(): ...",
    "import": "pytest.importorskip('no_such_module', reason='no gcc')\ndef test_it(): ...",
}
FINE = {
    "passes": "def test_it(): ...",
    "allowed": "@pytest.mark.skip(reason='needs a CUDA device')\ndef test_it(): ...",
    "xfail": "@pytest.mark.xfail\ndef test_it(): assert False",
}


@pytest.fixture(autouse=True)
def files(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of tests, a file for each way to skip; pytest is to run there with the plugin."""
    for name, source in (KINDS | FINE).items():
        pytester.makepyfile(**{f"test_{name}": f"import pytest\n{source}\n"})
    pytester.makeini("[pytest]\naddopts = --continue-on-collection-errors")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of the workers
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # a second for each process
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)


@pytest.mark.parametrize("options", [(), ("-p", "xdist", "-n", "2")], ids=["alone", "parallel"])
def test_a_skip_is_a_failure_that_says_which_and_why(
    options: tuple[str, ...], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUIRE_ALL", "1")
    result = pytester.runpytest("-p", "tests.support.require_all", *options)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, skipped=1, xfailed=1, failed=1, errors=4)
    for kind in KINDS:
        result.stdout.re_match_lines_random([rf"test_{kind}\.py(::test_it)? was skipped: no gcc"])


def test_without_it_a_skip_is_a_skip(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUIRE_ALL", raising=False)
    result = pytester.runpytest("-p", "tests.support.require_all")
    result.assert_outcomes(passed=1, skipped=6, xfailed=1)
