"""What stands between the computer and the board: data, builds, runs."""
