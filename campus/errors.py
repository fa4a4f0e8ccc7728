"""The base class of all errors that a user may see. Each error is next to the code that raises it.

Its message is one line with the fact, the likely cause and the next action; it needs no traceback.
"""


class CampusError(Exception):
    """A fault outside this program. With an `exit_code`, a retry cannot help: the process exits with it."""

    exit_code: int | None = None
