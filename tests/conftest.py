"""With `pytest --device PORT`: only what concerns a board, on the board at PORT."""

import signal
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("no deadline", deadline=None)  # the machine may be busy
settings.load_profile("no deadline")

# A shell's job in the background ignores Ctrl-C, and so would every program that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["pytester", "tests.support.require_all"]

TESTS = Path(__file__).parent
ON_A_BOARD = (TESTS / "firmware", TESTS / "device")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device",
        metavar="PORT",
        help="run the firmware tests and a training on the board at PORT, socket:// too",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("device") and config.getoption("numprocesses", None):
        raise pytest.UsageError("--device: a board answers one process, so leave -n out")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("device"):
        others = [item for item in items if not any(map(item.path.is_relative_to, ON_A_BOARD))]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
