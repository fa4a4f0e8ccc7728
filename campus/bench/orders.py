"""The orders of a load: drawn from a seed, so that a run can be repeated."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

USERS = 50
QUANTITY_MAX = 3


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """The body of POST /order."""

    user_id: str
    item: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderMix:
    """`run` begins every user id: it tells the outcomes of this run from all others."""

    run: str
    items: tuple[str, ...]
    seed: int

    def __iter__(self) -> Iterator[OrderRequest]:
        """Endless, and the same orders each time."""
        random = Random(self.seed)  # noqa: S311 (must be repeatable, not secret)
        while True:
            yield OrderRequest(
                user_id=f"{self.run}-{random.randrange(USERS):02}",
                item=random.choice(self.items),
                quantity=random.randint(1, QUANTITY_MAX),
            )
