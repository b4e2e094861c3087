"""The error of the tools; `microgpt.cli.run` prints it as one line."""

from microgpt.errors import UserError


class ToolError(UserError):
    """Something the user can correct; the message is one line: what is wrong and what to do."""
