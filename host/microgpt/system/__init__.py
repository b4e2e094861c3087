"""What the operating system has a part in: files, signals, and text on a terminal."""
