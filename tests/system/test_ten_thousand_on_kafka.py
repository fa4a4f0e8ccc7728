"""Ten thousand orders for four hundred portions: each is decided once, also after a kill or a stop."""

from collections.abc import Callable

import pytest

from campus.audit.findings import Totals
from tests.support.customers import ITEMS, Crowd, one_each
from tests.support.ledgers import audited, order_ids
from tests.support.processes import Campus, soon

ORDERS = 10_000
PORTIONS = dict.fromkeys(ITEMS, 100)
WITHIN_S = 120.0

MakeCampus = Callable[..., Campus]


def all_portions_are_sold(totals: Totals) -> bool:
    return totals.reserved == 400 and dict(totals.portions) == PORTIONS


def test_of_ten_thousand_orders_four_hundred_are_reserved(campus: MakeCampus) -> None:
    here = campus()
    program = here.start_up("--all")
    crowd = Crowd(here.endpoint, one_each(ORDERS)).wait(within_s=WITHIN_S)
    assert (crowd.unanswered, crowd.refused) == (0, [])
    totals = audited(here.config, accepted=crowd.accepted).summed_totals()
    assert all_portions_are_sold(totals)
    assert dict(totals.failed) == {"insufficient_stock": ORDERS - 400}
    assert sorted(order_ids(here.config)) == sorted(crowd.accepted)
    program.stops()
    assert f"Total orders{ORDERS:>24,}" in program.output.partition("final report")[2]


def test_the_same_if_the_system_is_killed_and_restarted_under_load(campus: MakeCampus) -> None:
    here = campus()
    program = here.start_up("--all")
    crowd = Crowd(here.endpoint, one_each(ORDERS))
    soon(lambda: len(crowd.accepted) > ORDERS // 3)
    program.kill()
    here.start_up("--all")
    crowd.wait(within_s=WITHIN_S)
    assert crowd.unanswered > 0  # it was killed under load
    totals = audited(here.config, accepted=crowd.accepted).summed_totals()
    assert all_portions_are_sold(totals)
    # An order whose answer was lost with the process may have been placed, and was then sent again.
    assert ORDERS <= totals.orders <= ORDERS + crowd.unanswered


@pytest.mark.long
def test_the_same_if_the_system_is_stopped_and_restarted_under_load(campus: MakeCampus) -> None:
    here = campus()
    program = here.start_up("--all")
    crowd = Crowd(here.endpoint, one_each(ORDERS))
    soon(lambda: len(crowd.accepted) > ORDERS // 3)
    program.stops()
    assert len(crowd.accepted) < ORDERS  # it was stopped under load
    here.start_up("--all")
    crowd.wait(within_s=WITHIN_S)
    assert all_portions_are_sold(audited(here.config, accepted=crowd.accepted).summed_totals())
    # An orderly stop answers every placed order, so the log holds exactly the accepted ones.
    assert sorted(order_ids(here.config)) == sorted(crowd.accepted)
