"""The command `microgpt-board`, also as `python -m microgpt_board`."""

from microgpt.system import signals


def main() -> None:
    """Run the command line of this process and exit."""
    signals.end_at_once()
    from microgpt_board.cli import main as run

    run()


if __name__ == "__main__":
    main()
