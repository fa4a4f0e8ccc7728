"""The consumer groups of a broker as it knows them: members, committed offsets; and moving those.

What it tells is what was committed, never an estimate. A group's offsets are moved only while nobody is in
it, stay within the log, carry no metadata, and are read back: what was not moved is an error.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any, TypeVar

from kafka import KafkaAdminClient, OffsetAndMetadata
from kafka.admin import OffsetSpec
from kafka.errors import NoError, NonEmptyGroupError, RetriableError, UnknownMemberIdError

from campus.config.settings import KafkaConfig
from campus.errors import CampusError
from campus.kafka.clients import BrokerAway, admin
from campus.kafka.records import Bounds, TopicPartition
from campus.kafka.topics import partition_counts
from campus.logs import printable

UNHEARD_OF = "Dead"  # Kafka's word for a group that it does not know
IDLE_STATES = ("Empty", UNHEARD_OF)
RETRY_S = 0.2
NO_OFFSETS = ("connect", "share")  # protocols whose groups commit none

T = TypeVar("T")


class UnknownGroup(CampusError):
    exit_code = 1

    def __init__(self, group: str, known: Collection[str]) -> None:
        listed = ", ".join(map(printable, sorted(known))) or "none yet"
        super().__init__(f"there is no group {group!r} on this broker. It has: {listed}.")


class NothingToMove(CampusError):
    exit_code = 1


class GroupActive(CampusError):
    exit_code = 1

    def __init__(self, group: "Group") -> None:
        members = ", ".join(f"{printable(one.client_id)} at {one.host}" for one in group.members)
        super().__init__(
            f"{printable(group.name)} is active: {members or f'its state is {group.state}'}. "
            "Its offsets stay as they are. Stop its members and try again; one that was killed counts as a "
            "member until its session times out."
        )


class OffsetsNotMoved(CampusError):
    exit_code = 1


@dataclass(frozen=True, slots=True)
class Member:
    client_id: str
    host: str
    holds: frozenset[TopicPartition]


@dataclass(frozen=True, slots=True)
class Group:
    """`members`: none too where the broker does not tell them, as of groups of the newer protocol."""

    name: str
    state: str
    members: tuple[Member, ...]
    committed: Mapping[TopicPartition, int]

    @property
    def is_known(self) -> bool:
        """To the broker."""
        return self.state != UNHEARD_OF or bool(self.committed)

    @property
    def is_active(self) -> bool:
        return bool(self.members) or self.state not in IDLE_STATES

    @property
    def partitions(self) -> set[TopicPartition]:
        """Where it has committed, and what its members hold."""
        return set(self.committed).union(*(member.holds for member in self.members))

    def holder(self, tp: TopicPartition) -> Member | None:
        return next((member for member in self.members if tp in member.holds), None)


@dataclass(frozen=True, slots=True)
class Move:
    """`was`: None if nothing was committed; `asked`: what was meant, which the log may not have."""

    tp: TopicPartition
    was: int | None
    to: int
    asked: int

    @property
    def is_clamped(self) -> bool:
        return self.to != self.asked


def patiently(ask: Callable[[KafkaAdminClient], T], kafka: KafkaConfig) -> T:
    """What it says; asked again for `connect_timeout_s`, since a broker that has just started does not know
    its groups yet. Raises BrokerAway."""
    until_s, pause = time.monotonic() + kafka.connect_timeout_s, Event()
    while True:
        try:
            with admin(kafka) as client:
                return ask(client)
        except BrokerAway:
            if time.monotonic() > until_s:
                raise
        pause.wait(RETRY_S)


def groups_on(client: KafkaAdminClient, names: Collection[str], *, others: bool = True) -> dict[str, Group]:
    """Those of the names, known to the broker or not, and all others that commit offsets.

    Raises as the client does; see `clients.admin`.
    """
    # First: while a coordinator still loads what it knows this fails, and the list denies its groups.
    committed = client.list_group_offsets(dict.fromkeys(names)) if names else {}
    listed = {one["group_id"]: one for one in client.list_groups() if others or one["group_id"] in names}
    if unnamed := [name for name, one in listed.items() if name not in committed and _has_offsets(one)]:
        committed |= client.list_group_offsets(dict.fromkeys(unnamed))
    # The newer protocol's groups are told of by a request that this client does not know.
    classic = [name for name in committed if listed.get(name, {}).get("group_type") in (None, "", "classic")]
    described = client.describe_groups(classic) if classic else {}
    return {
        name: Group(
            name,
            described.get(name, listed.get(name, {})).get("group_state", UNHEARD_OF),
            tuple(map(_member, described.get(name, {}).get("members", ()))),
            {TopicPartition(*at): commit.offset for at, commit in commits.items() if commit.offset >= 0},
        )
        for name, commits in committed.items()
    }


def group_named(client: KafkaAdminClient, name: str) -> Group:
    return groups_on(client, [name], others=False)[name]


def _has_offsets(listed: Mapping[str, Any]) -> bool:
    return not {listed["protocol_type"], listed.get("group_type")}.intersection(NO_OFFSETS)


def log_bounds(client: KafkaAdminClient, tps: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
    """Of those that are there."""
    counts = partition_counts(client, {tp.topic for tp in tps})
    there = [tp for tp in tps if tp.partition < counts.get(tp.topic, 0)]
    starts = client.list_partition_offsets(dict.fromkeys(there, OffsetSpec.EARLIEST))
    ends = client.list_partition_offsets(dict.fromkeys(there, OffsetSpec.LATEST))
    return {tp: Bounds(starts[tp].offset, ends[tp].offset) for tp in there}


def partitions_of(client: KafkaAdminClient, topic: str) -> set[TopicPartition]:
    """None if it is not there."""
    return {
        TopicPartition(topic, partition)
        for partition in range(partition_counts(client, [topic]).get(topic, 0))
    }


# Moving


def move(client: KafkaAdminClient, group: Group, moves: Sequence[Move]) -> None:
    """Raises GroupActive, also if somebody joined just now; OffsetsNotMoved."""
    if group.is_active:
        raise GroupActive(group)
    wanted = {one.tp: one.to for one in moves}
    commits = {tp: OffsetAndMetadata(to, "", -1) for tp, to in wanted.items()}
    answers = client.alter_group_offsets(group.name, commits)
    if any(answer in (UnknownMemberIdError, NonEmptyGroupError) for answer in answers.values()):
        raise GroupActive(group_named(client, group.name))
    for tp, answer in answers.items():
        if issubclass(answer, RetriableError):
            raise answer(f"of {group.name}")
        if answer is not NoError:
            where = f"{group.name} on {tp.topic}-{tp.partition}"
            raise OffsetsNotMoved(f"the broker refused to move {where}: {answer.__name__}")
    _check_moved(group_named(client, group.name), wanted)


def _check_moved(group: Group, wanted: Mapping[TopicPartition, int]) -> None:
    name, committed = group.name, group.committed
    for tp, to in wanted.items():
        if committed.get(tp) != to:
            raise OffsetsNotMoved(
                f"{name} stands at {committed.get(tp)} on {tp.topic}-{tp.partition}, not at {to}. "
                "Probably a member has joined and committed meanwhile. Stop it and try again."
            )


def first_offsets_since(
    client: KafkaAdminClient, tps: Collection[TopicPartition], time_ms: int
) -> dict[TopicPartition, int]:
    """The offset of the first record appended at `time_ms` or later; partitions without one are left out."""
    found = client.list_partition_offsets(dict.fromkeys(tps, time_ms))
    return {TopicPartition(*at): one.offset for at, one in found.items() if one.offset >= 0}


def _member(described: Mapping[str, Any]) -> Member:
    assignment = described["member_assignment"]
    held = assignment["assigned_partitions"] if isinstance(assignment, Mapping) else []
    tps = frozenset(
        TopicPartition(one["topic"], partition) for one in held for partition in one["partitions"]
    )
    return Member(described["client_id"], described["client_host"].lstrip("/"), tps)
