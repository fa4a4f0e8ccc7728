"""The one base of the errors that a user may see; each stands beside the code that raises it.

A message says the fact, the likely cause and the next step, in one line, and never needs a
traceback.
"""


class CampusError(Exception):
    """Something that the world did, told so that the reader knows what to do next.

    `exit_code`, when it is set, means that trying again cannot help: the process ends with it.
    """

    exit_code: int | None = None
