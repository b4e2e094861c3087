"""With REQUIRE_ALL=1 in the environment, as in CI, a test that is skipped fails.

Without it, CI would pass on a machine that lacks half of the programs.
"""

import os
import re
from collections.abc import Generator
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

# Patterns of the whole reasons for which a test may be skipped: what no CI machine has.
ALLOWED = (
    r"needs a CUDA device",
    r"needs a processor with avx(2|512)",
    r"needs a board: pytest --device PORT",
    # microgpt's own list, for its published figures: it is not part of the repository.
    r"needs make names-makemore",
    r"needs names-makemore-2018\.txt in \.\./shared/data",
)


def _complaint(report: pytest.TestReport | pytest.CollectReport) -> str | None:
    """Return what to say of a test or file that was skipped for a reason that is not allowed."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return None
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if any(re.fullmatch(pattern, reason) for pattern in ALLOWED):
        return None
    return (
        f"{report.nodeid} was skipped: {reason}\n"
        f"REQUIRE_ALL=1 allows that only for the reasons in tests/support/require_all.py"
    )


def _checked(report: Report) -> Report:
    """Return `report`, as a failure where it must not be a skip."""
    if os.environ.get("REQUIRE_ALL") == "1" and (complaint := _complaint(report)):
        report.outcome = "failed"
        report.longrepr = complaint
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _checked((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _checked((yield))
