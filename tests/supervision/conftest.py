"""Fixtures of the supervisor's tests."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the supervisor logs at INFO and above."""
    with caplog.at_level(logging.INFO, logger="supervisor"):
        yield caplog
