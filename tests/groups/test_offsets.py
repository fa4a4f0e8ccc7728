"""What is made of a broker's answers about groups, and of its refusals to move an offset."""

import pytest
from kafka import OffsetAndMetadata
from kafka.errors import (
    CoordinatorLoadInProgressError,
    NoError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
)

from campus.kafka.consumer_groups import Group, GroupActive, Move, OffsetsNotMoved, groups_on, move
from campus.kafka.group_consumer import is_ours
from campus.kafka.records import TopicPartition

TP = TopicPartition("orders", 0)
MOVES = [Move(TP, was=7, to=3, asked=3)]


class FakeAdmin:
    """Of a broker that has these groups: name, protocol, type, state."""

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


def test_a_member_is_told_with_its_host_and_what_it_holds():
    group = groups_on(FakeAdmin(("g", "consumer", "classic", "Stable"), members=[A_MEMBER]), ())["g"]
    member = group.holder(TopicPartition("orders", 1))
    assert (member.client_id, member.host) == ("somebody", "10.0.0.1")
    assert group.holder(TopicPartition("orders", 2)) is None
    assert group.partitions == {TP, TopicPartition("orders", 1)}


def test_a_member_that_has_been_given_nothing_yet_holds_nothing():
    joining = {**A_MEMBER, "member_assignment": b""}
    group = groups_on(FakeAdmin(("g", "consumer", "classic", "PreparingRebalance"), members=[joining]), ())[
        "g"
    ]
    assert group.is_active
    assert group.holder(TP) is None


def test_of_a_group_of_the_newer_protocol_its_state_says_whether_somebody_is_there():
    there, gone = ("new", "consumer", "consumer", "Stable"), ("left", "consumer", "consumer", "Empty")
    groups = groups_on(FakeAdmin(there, gone), ())
    assert (groups["new"].is_active, groups["left"].is_active) == (True, False)


def test_groups_that_commit_no_offsets_are_left_out():
    share, connect = ("queue", "share", "share", "Stable"), ("workers", "connect", "classic", "Stable")
    assert groups_on(FakeAdmin(A_GROUP, share, connect), ()).keys() == {"g"}


def test_a_group_that_was_asked_for_by_name_is_told_of_also_if_nobody_knows_it():
    groups = groups_on(FakeAdmin(A_GROUP), ["unheard-of"])
    assert (groups["g"].is_known, groups["unheard-of"].is_known) == (True, False)
    assert groups_on(FakeAdmin(A_GROUP), ["unheard-of"], others=False).keys() == {"unheard-of"}


# Moving


def moved(client):
    move(client, Group("g", "Empty", (), {TP: 7}), MOVES)


def test_what_was_moved_is_read_back():
    client = FakeAdmin(A_GROUP)
    moved(client)
    assert client.offset == 3
    with pytest.raises(OffsetsNotMoved, match="g stands at 7 on orders-0, not at 3"):
        moved(FakeAdmin(A_GROUP, obeys=False))


def test_an_active_group_is_not_even_asked_to_move():
    with pytest.raises(GroupActive, match="its state is Stable"):
        move(FakeAdmin(A_GROUP, answer=TopicAuthorizationFailedError), Group("g", "Stable", (), {}), MOVES)


def test_a_group_that_became_active_meanwhile_is_told_with_its_members():
    client = FakeAdmin(
        ("g", "consumer", "classic", "Stable"), members=[A_MEMBER], answer=UnknownMemberIdError
    )
    with pytest.raises(GroupActive, match=r"somebody at 10\.0\.0\.1"):
        moved(client)


def test_what_the_broker_refuses_is_told_by_its_own_word():
    with pytest.raises(OffsetsNotMoved, match="refused to move g on orders-0: TopicAuthorizationFailedError"):
        moved(FakeAdmin(A_GROUP, answer=TopicAuthorizationFailedError))


def test_a_broker_that_is_not_ready_is_no_refusal():
    with pytest.raises(CoordinatorLoadInProgressError):
        moved(FakeAdmin(A_GROUP, answer=CoordinatorLoadInProgressError))


# Whose a commit is


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
def test_a_commit_is_ours_by_its_metadata_if_the_offset_in_it_is_its_own(metadata, ours):
    assert is_ours(OffsetAndMetadata(7, metadata, -1)) is ours
