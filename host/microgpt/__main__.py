"""`python -m microgpt`, which is also what torchrun starts: the command line."""

from microgpt.cli import main

main()
