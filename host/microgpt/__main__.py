"""The command `microgpt`, also as `python -m microgpt`, which torchrun starts."""

from microgpt.system import signals


def main() -> None:
    """Run the command line of this process and exit."""
    signals.end_at_once()
    from microgpt.cli import main as run

    run()


if __name__ == "__main__":
    main()
