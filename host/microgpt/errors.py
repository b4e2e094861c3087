"""The errors that a user can cause; the command line prints them as one line."""


class UserError(ValueError):
    """Something the user can correct. The message is one line: what is wrong and what to do.

    Every error of this package that is not a programming error derives from it. It is a ValueError,
    so that a caller who knows nothing of this package can still catch it.
    """


class ConfigError(UserError):
    """A size, a switch or a setting has an impossible value."""
