"""How the broker's answers about groups, and its refusals to move an offset, are understood."""

import pytest
from kafka import OffsetAndMetadata
from kafka.errors import (
    CoordinatorLoadInProgressError,
    NoError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
)

from campus.kafka.consumer_groups import (
    Group,
    GroupActive,
    OffsetMove,
    OffsetsNotMoved,
    describe_groups,
    move_offsets,
)
from campus.kafka.group_consumer import is_own_commit
from campus.kafka.records import TopicPartition

TP = TopicPartition("orders", 0)
MOVES = [OffsetMove(TP, was=7, to=3, requested=3)]


class FakeAdmin:
    """The admin client of a broker with these groups: name, protocol, type, state."""

    def __init__(self, *listed, members=(), answer=NoError, obeys=True):
        self.listed, self.members, self.answer, self.obeys = listed, members, answer, obeys
        self.offset = 7

    def list_groups(self):
        names = ("group_id", "protocol_type", "group_type", "group_state")
        return [dict(zip(names, one, strict=True)) for one in self.listed]

    def list_group_offsets(self, groups):
        known = {name for name, *_ in self.listed}
        commit = {TopicPartition(*TP): OffsetAndMetadata(self.offset, "", -1)}
        return {name: commit if name in known else {} for name in groups}

    def describe_groups(self, names):
        states = {name: state for name, _, _, state in self.listed}
        return {name: {"group_state": states.get(name, "Dead"), "members": self.members} for name in names}

    def alter_group_offsets(self, group, offsets):
        if self.answer is NoError and self.obeys:
            self.offset = offsets[TopicPartition(*TP)].offset
        return dict.fromkeys(offsets, self.answer)


A_GROUP = ("g", "consumer", "classic", "Empty")
A_MEMBER = {
    "client_id": "somebody",
    "client_host": "/10.0.0.1",
    "member_assignment": {"assigned_partitions": [{"topic": "orders", "partitions": [0, 1]}]},
}


# Groups


def test_a_member_has_its_host_and_its_partitions():
    group = describe_groups(FakeAdmin(("g", "consumer", "classic", "Stable"), members=[A_MEMBER]), ())["g"]
    member = group.assignee(TopicPartition("orders", 1))
    assert (member.client_id, member.host) == ("somebody", "10.0.0.1")
    assert group.assignee(TopicPartition("orders", 2)) is None
    assert group.partitions == {TP, TopicPartition("orders", 1)}


def test_a_joining_member_has_no_partitions():
    joining = {**A_MEMBER, "member_assignment": b""}
    group = describe_groups(
        FakeAdmin(("g", "consumer", "classic", "PreparingRebalance"), members=[joining]), ()
    )["g"]
    assert group.is_active
    assert group.assignee(TP) is None


def test_a_group_of_the_consumer_protocol_is_active_by_its_state():
    there, gone = ("new", "consumer", "consumer", "Stable"), ("left", "consumer", "consumer", "Empty")
    groups = describe_groups(FakeAdmin(there, gone), ())
    assert (groups["new"].is_active, groups["left"].is_active) == (True, False)


def test_groups_that_commit_no_offsets_are_left_out():
    share, connect = ("queue", "share", "share", "Stable"), ("workers", "connect", "classic", "Stable")
    assert describe_groups(FakeAdmin(A_GROUP, share, connect), ()).keys() == {"g"}


def test_a_named_group_is_described_even_if_the_broker_does_not_know_it():
    groups = describe_groups(FakeAdmin(A_GROUP), ["unheard-of"])
    assert (groups["g"].is_known, groups["unheard-of"].is_known) == (True, False)
    assert describe_groups(FakeAdmin(A_GROUP), ["unheard-of"], others=False).keys() == {"unheard-of"}


# Moving


def moved(client):
    move_offsets(client, Group("g", "Empty", (), {TP: 7}), MOVES)


def test_moved_offsets_are_read_back():
    client = FakeAdmin(A_GROUP)
    moved(client)
    assert client.offset == 3
    with pytest.raises(OffsetsNotMoved, match="g stands at 7 on orders-0, not at 3"):
        moved(FakeAdmin(A_GROUP, obeys=False))


def test_no_offset_of_an_active_group_is_moved():
    with pytest.raises(GroupActive, match="its state is Stable"):
        move_offsets(
            FakeAdmin(A_GROUP, answer=TopicAuthorizationFailedError), Group("g", "Stable", (), {}), MOVES
        )


def test_the_error_names_members_that_joined_meanwhile():
    client = FakeAdmin(
        ("g", "consumer", "classic", "Stable"), members=[A_MEMBER], answer=UnknownMemberIdError
    )
    with pytest.raises(GroupActive, match=r"somebody at 10\.0\.0\.1"):
        moved(client)


def test_a_refused_move_names_the_brokers_error():
    with pytest.raises(OffsetsNotMoved, match="refused to move g on orders-0: TopicAuthorizationFailedError"):
        moved(FakeAdmin(A_GROUP, answer=TopicAuthorizationFailedError))


def test_a_broker_that_is_not_ready_is_a_retriable_error():
    with pytest.raises(CoordinatorLoadInProgressError):
        moved(FakeAdmin(A_GROUP, answer=CoordinatorLoadInProgressError))


# Own commits


@pytest.mark.parametrize(
    ("metadata", "ours"),
    [
        ("campuskafka", True),
        ("campuskafka 7", True),
        ("campuskafka 12", False),
        ("", False),
        ("a tool", False),
    ],
)
def test_a_commit_is_own_if_its_metadata_holds_its_own_offset_or_none(metadata, ours):
    assert is_own_commit(OffsetAndMetadata(7, metadata, -1)) is ours
