"""Consumer groups as the broker knows them: their members and committed offsets; and moving those offsets.

Nothing here is an estimate. A group's offsets are moved only while it has no members, and they are read back:
an offset that was not moved is an error.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any, TypeVar

from kafka import OffsetAndMetadata
from kafka.admin import OffsetSpec
from kafka.errors import NoError, NonEmptyGroupError, RetriableError, UnknownMemberIdError

from campus.config.settings import KafkaConfig
from campus.errors import CampusError
from campus.kafka.clients import AdminClient, BrokerAway, admin
from campus.kafka.records import Bounds, TopicPartition
from campus.kafka.topics import partition_counts
from campus.logs import printable

UNKNOWN_GROUP_STATE = "Dead"  # Kafka's state of a group that it does not know
IDLE_STATES = ("Empty", UNKNOWN_GROUP_STATE)
NO_OFFSETS = {"connect", "share"}  # types of groups that commit no offsets
RETRY_S = 0.2

T = TypeVar("T")


class UnknownGroup(CampusError):
    exit_code = 1

    def __init__(self, group: str, known: Collection[str]) -> None:
        listed = ", ".join(map(printable, sorted(known))) or "none yet"
        super().__init__(f"there is no group {group!r} on this broker. It has: {listed}.")


class GroupActive(CampusError):
    exit_code = 1

    def __init__(self, group: "Group") -> None:
        members = ", ".join(f"{printable(member.client_id)} at {member.host}" for member in group.members)
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
    partitions: frozenset[TopicPartition]


@dataclass(frozen=True, slots=True)
class Group:
    """`members`: empty also for groups of the new protocol (KIP-848), which kafka-python cannot describe."""

    name: str
    state: str
    members: tuple[Member, ...]
    committed: Mapping[TopicPartition, int]

    @property
    def is_known(self) -> bool:
        return self.state != UNKNOWN_GROUP_STATE or bool(self.committed)

    @property
    def is_active(self) -> bool:
        return bool(self.members) or self.state not in IDLE_STATES

    @property
    def partitions(self) -> set[TopicPartition]:
        """The partitions with a committed offset, and those assigned to members."""
        return set(self.committed).union(*(member.partitions for member in self.members))

    def assignee(self, tp: TopicPartition) -> Member | None:
        return next((member for member in self.members if tp in member.partitions), None)


def with_retries(call: Callable[[AdminClient], T], kafka: KafkaConfig) -> T:
    """Call it with an admin client; retry for `connect_timeout_s`, since a broker that has just started does
    not know its groups yet. Raises BrokerAway."""
    deadline = time.monotonic() + kafka.connect_timeout_s
    while True:
        try:
            with admin(kafka) as client:
                return call(client)
        except BrokerAway:
            if time.monotonic() > deadline:
                raise
        Event().wait(RETRY_S)


def describe_groups(client: AdminClient, names: Collection[str], *, others: bool = True) -> dict[str, Group]:
    """The named groups, known to the broker or not, and all others that commit offsets."""
    # Offsets first: while a coordinator is still loading this raises, whereas the list just lacks its groups.
    committed = client.list_group_offsets(dict.fromkeys(names)) if names else {}
    listed = {
        group["group_id"]: group for group in client.list_groups() if others or group["group_id"] in names
    }
    if more := [name for name, group in listed.items() if name not in committed and _commits_offsets(group)]:
        committed |= client.list_group_offsets(dict.fromkeys(more))
    classic = [name for name in committed if listed.get(name, {}).get("group_type") in (None, "", "classic")]
    described = client.describe_groups(classic) if classic else {}
    return {
        name: Group(
            name,
            described.get(name, listed.get(name, {})).get("group_state", UNKNOWN_GROUP_STATE),
            tuple(map(_member, described.get(name, {}).get("members", ()))),
            {TopicPartition(*tp): commit.offset for tp, commit in commits.items() if commit.offset >= 0},
        )
        for name, commits in committed.items()
    }


def describe_group(client: AdminClient, name: str) -> Group:
    return describe_groups(client, [name], others=False)[name]


def known_group(client: AdminClient, name: str, ours: Collection[str]) -> Group:
    """A group that the broker knows, or one of `ours`. Raises UnknownGroup."""
    group = describe_group(client, name)
    if not group.is_known and name not in ours:
        raise UnknownGroup(name, describe_groups(client, ()))
    return group


def _commits_offsets(listed: Mapping[str, Any]) -> bool:
    return NO_OFFSETS.isdisjoint((listed["protocol_type"], listed.get("group_type")))


def _member(described: Mapping[str, Any]) -> Member:
    assignment = described["member_assignment"]
    topics = assignment["assigned_partitions"] if isinstance(assignment, Mapping) else []
    tps = {TopicPartition(topic["topic"], partition) for topic in topics for partition in topic["partitions"]}
    return Member(described["client_id"], described["client_host"].lstrip("/"), frozenset(tps))


def log_bounds(client: AdminClient, tps: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
    """The bounds of those partitions that exist."""
    counts = partition_counts(client, {tp.topic for tp in tps})
    existing = [tp for tp in tps if tp.partition < counts.get(tp.topic, 0)]
    starts = client.list_partition_offsets(dict.fromkeys(existing, OffsetSpec.EARLIEST))
    ends = client.list_partition_offsets(dict.fromkeys(existing, OffsetSpec.LATEST))
    return {tp: Bounds(starts[tp].offset, ends[tp].offset) for tp in existing}


def offsets_for_time(
    client: AdminClient, tps: Collection[TopicPartition], time_ms: int
) -> dict[TopicPartition, int]:
    """The offset of the first record appended at `time_ms` or later; partitions without one are left out."""
    found = client.list_partition_offsets(dict.fromkeys(tps, time_ms))
    return {TopicPartition(*tp): record.offset for tp, record in found.items() if record.offset >= 0}


def partitions_of(client: AdminClient, topic: str) -> set[TopicPartition]:
    """Empty set if the topic does not exist."""
    count = partition_counts(client, [topic]).get(topic, 0)
    return {TopicPartition(topic, partition) for partition in range(count)}


@dataclass(frozen=True, slots=True)
class OffsetMove:
    """`was`: None if nothing was committed; `requested`: the wanted offset, which the log may not have."""

    tp: TopicPartition
    was: int | None
    to: int
    requested: int


def move_offsets(client: AdminClient, group: Group, moves: Sequence[OffsetMove]) -> None:
    """Raises GroupActive, also if a member joined after `group` was described; OffsetsNotMoved."""
    if group.is_active:
        raise GroupActive(group)
    wanted = {move.tp: move.to for move in moves}
    # Without metadata, so that the role sees that the commit is not its own.
    commits = {tp: OffsetAndMetadata(to, "", -1) for tp, to in wanted.items()}
    answers = client.alter_group_offsets(group.name, commits)
    if any(answer in (UnknownMemberIdError, NonEmptyGroupError) for answer in answers.values()):
        raise GroupActive(describe_group(client, group.name))
    for tp, answer in answers.items():
        if issubclass(answer, RetriableError):
            raise answer(f"of {group.name}")
        if answer is not NoError:
            where = f"{group.name} on {tp.topic}-{tp.partition}"
            raise OffsetsNotMoved(f"the broker refused to move {where}: {answer.__name__}")
    committed = describe_group(client, group.name).committed
    for tp, to in wanted.items():
        if committed.get(tp) != to:
            raise OffsetsNotMoved(
                f"{group.name} stands at {committed.get(tp)} on {tp.topic}-{tp.partition}, not at {to}. "
                "Probably a member has joined and committed meanwhile. Stop it and try again."
            )
