"""The tables of faults and of turns with their odds, and the faults of one schedule.

Each schedule has only some of the faults, and some of those more often. With all of them always present, the
faults would hide each other and a schedule would never get far.
"""

from collections import Counter
from collections.abc import Mapping
from random import Random

# The odds of each fault at each occasion, in a schedule that has the fault.
FAULTS = {
    # At every start of an instance: its config differs from the others.
    "other_window": 0.4,
    "other_stock": 0.2,
    # At every request of an instance, before it is sent and, for appends, also before the acknowledgement.
    "paused": 0.05,  # the others go on meanwhile, so the instance may wake up as a zombie
    "killed": 0.01,
    # At every request but an append: it does not reach the broker.
    "away": 0.02,
    # At every append, for each of its partitions.
    "lost": 0.03,  # the batch never arrives
    "late": 0.08,  # the writer gives it up, and it lands some time later
    "unacknowledged": 0.04,  # it lands, but the acknowledgement is lost
    "repeated": 0.03,  # it lands twice
    "in_two_batches": 0.05,  # it is sent as two batches, each with its own faults, and others act in between
    "refused": 0.05,  # snapshots only: too large for the topic
    "given_up": 0.3,  # after a failed append the whole process is restarted
    # At every poll.
    "redelivered": 0.03,  # some older records are delivered again
    # At every poll of a member that the group has dropped.
    "unnoticed": 0.7,  # kafka-python's poll does not notice it: only a commit does
    # At every restore of a partition.
    "moved_by_hand": 0.1,  # a tool has moved its offset, back or forward
    # At every commit.
    "rebalancing": 0.1,  # the commit does nothing
}
FREQUENT_FACTOR = 4  # multiplies the odds
FAULT_IS_PRESENT, FAULT_IS_FREQUENT = 0.6, 0.25

# What happens next, by weight; each is a method of World.
TURNS = {
    "step_instance": 60,
    "write_inputs": 22,
    "land_late_batch": 5,
    "sync_member": 8,  # as on the I/O thread of its client: at any moment
    "rebalance_group": 6,
    "expire_session": 2,
    "kill_instance": 2,
    "stop_instance": 3,
    "advance_clock": 2,
    "damage_snapshot": 1,
    "compact_snapshots": 1,
    "add_foreign_snapshot": 1,
    "write_foreign_journal_record": 3,
}


class FaultSchedule:
    def __init__(self, random: Random, odds: Mapping[str, float]) -> None:
        self._random, self._odds = random, odds
        self.occurred: Counter[str] = Counter()

    @classmethod
    def random_schedule(cls, random: Random) -> "FaultSchedule":
        present = [name for name in FAULTS if random.random() < FAULT_IS_PRESENT]
        frequent = {name for name in present if random.random() < FAULT_IS_FREQUENT}
        return cls(
            random, {name: FAULTS[name] * (FREQUENT_FACTOR if name in frequent else 1) for name in present}
        )

    def happens(self, fault: str) -> bool:
        odds = self._odds.get(fault)
        if odds is None or self._random.random() >= odds:
            return False
        self.occurred[fault] += 1
        return True

    def stop_all(self) -> None:
        self._odds = {}
