"""The two ways to be without a Kafka: none can be had (`NoBroker`), or the running one ended (`BrokerDied`).

The specific errors are next to the code that raises them.
"""

from campus.errors import CampusError


class NoBroker(CampusError):
    """Trying again would end the same way, so the process exits."""

    exit_code = 3


class BrokerDied(CampusError):
    """A Kafka that ran, or was starting, has ended. Starting it again may help."""
