# Nothing to set up: main.py starts the program.
