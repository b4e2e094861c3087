"""The version of the program, in a module of its own: every other one may import it."""

__version__ = "0.2.0.dev0"
