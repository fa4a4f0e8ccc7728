"""The two ways to be without a Kafka: none can be had (`NoBroker`), or the one that ran is gone
(`BrokerDied`). The particular faults stand beside the code that raises them.
"""

from campus.errors import CampusError


class NoBroker(CampusError):
    """Trying again would end the same way, so the process ends too."""

    exit_code = 3


class BrokerDied(CampusError):
    """It was up, or coming up, and something ended it: starting it again may well help."""
