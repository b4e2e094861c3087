"""A GPT that trains itself on a microcontroller, in MicroPython and, unchanged, in CPython."""

__version__ = "0.1.0"
