"""What can go wrong and what can happen, with how often: two tables, and the weather of one schedule.

Each schedule has a weather of its own: some of the faults, some of them fierce. With all of them always
present they would drown each other, and a schedule would never get far.
"""

from collections import Counter
from collections.abc import Mapping
from random import Random

# The odds of each fault at each occasion for it, in a schedule that has it.
FAULTS = {
    # At every start of an instance: its config is not that of the others.
    "other_window": 0.4,
    "other_stock": 0.2,
    # At every call of an instance to the broker, before it and, for appends, before the acknowledgement.
    "paused": 0.05,  # the others go on meanwhile: who wakes up may be a zombie
    "killed": 0.01,
    # At every call but an append: it does not get through.
    "away": 0.02,
    # At every append, for each of its places.
    "lost": 0.03,  # it never arrives
    "late": 0.08,  # it is given up for lost, and lands some time later
    "unacknowledged": 0.04,  # it lands, and nobody says so
    "repeated": 0.03,  # it lands twice
    "in_rounds": 0.05,  # it goes in two rounds, each with its own fate, and others between them
    "refused": 0.05,  # snapshots only: too large for the topic
    "given_up": 0.3,  # ... and after one that failed somebody restarts the whole process
    # At every poll.
    "redelivered": 0.03,  # some records of the past come again
    # At every poll of a member that the group goes on without.
    "not_told": 0.7,  # kafka-python's poll does not tell: only a commit does
    # At every start of a partition.
    "moved_by_hand": 0.1,  # somebody has moved its offset, back or on
    # At every commit.
    "rebalancing": 0.1,  # it does nothing
}
FIERCE = 4  # times the odds
FAULT_IS_PRESENT, FAULT_IS_FIERCE = 0.6, 0.25

# What happens next, by weight; each is a method of the world.
TURNS = {
    "an_instance_steps": 60,
    "orders_come": 22,
    "a_late_batch_lands": 5,
    "a_member_hears_of_a_rebalance": 8,  # on the I/O thread of its client, whatever it is doing
    "partitions_move": 6,
    "a_session_expires": 2,
    "an_instance_is_killed": 2,
    "an_instance_is_stopped": 3,
    "time_passes": 2,
    "a_snapshot_is_damaged": 1,
    "snapshots_are_compacted": 1,
    "a_snapshot_of_another_journal_comes": 1,
    "a_stranger_writes_to_the_journal": 3,
}


class FaultSchedule:
    def __init__(self, random: Random, odds: Mapping[str, float]) -> None:
        self._random, self._odds = random, odds
        self.met: Counter[str] = Counter()

    @classmethod
    def drawn(cls, random: Random) -> "FaultSchedule":
        present = [name for name in FAULTS if random.random() < FAULT_IS_PRESENT]
        fierce = {name for name in present if random.random() < FAULT_IS_FIERCE}
        return cls(random, {name: FAULTS[name] * (FIERCE if name in fierce else 1) for name in present})

    def strikes(self, fault: str) -> bool:
        odds = self._odds.get(fault)
        if odds is None or self._random.random() >= odds:
            return False
        self.met[fault] += 1
        return True

    def clears(self) -> None:
        self._odds = {}
