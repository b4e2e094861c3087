"""Make `python -m microgpt_board` the command `microgpt-board`."""

from microgpt_board.cli import main

main()
