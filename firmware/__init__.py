"""Package data `microgpt_board.firmware`: what ends up on a board besides the package `ugpt`."""
