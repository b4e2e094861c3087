"""The errors that a user can cause; the command line prints them as one line."""


class UserError(ValueError):
    """Base class of the errors that a user can cause and correct.

    The message is one line: what is wrong and what to do. All errors that this package raises
    derive from it, except for programming errors. It is a ValueError, so that code written
    without knowledge of this package can catch it.
    """


class ConfigError(UserError):
    """A size or a setting of a model or a training has an impossible value."""
