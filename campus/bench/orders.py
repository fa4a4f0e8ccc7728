"""What is ordered: drawn by a seed, to be repeated, and marked as the run's own by its users' names."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

USERS = 50
PORTIONS_MOST = 3


@dataclass(frozen=True, slots=True)
class Wish:
    user_id: str
    item: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """`run` begins the name of every user: by it the run's outcomes are known among all others."""

    run: str
    items: tuple[str, ...]
    seed: int

    def __iter__(self) -> Iterator[Wish]:
        """Without an end; the same ones each time."""
        chance = Random(self.seed)  # noqa: S311 (to be repeated, not to be secret)
        while True:
            yield Wish(
                user_id=f"{self.run}-{chance.randrange(USERS):02}",
                item=chance.choice(self.items),
                quantity=chance.randint(1, PORTIONS_MOST),
            )
