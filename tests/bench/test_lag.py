"""What a watch of a group's lag makes of what it saw: peak, drain, verdicts; with looks that are made up."""

from itertools import pairwise

from campus.bench.http_clients import Answer
from campus.bench.lag import DRAIN_PATIENCE_S, LOOK_EVERY_S, Watch, figures, totals
from campus.bench.load import Generator, Load, Offered, Sample
from campus.groups.lag_verdict import Observation

LOAD = Load(clients=1, duration_s=10.0, rate_per_s=2.0)
OFFERED = Offered(
    (Sample(0.0, 0.0, 0.1, Answer(202, "o-1")),), began_s=100.0, ended_s=110.0, generator=Generator(0.1, 0.0)
)


def seen_every_second(*lags: int, read_a_second: int = 5, began_s: float = 100.0) -> list[Observation]:
    """A group that commits each second, and what is left before it."""
    return [
        Observation(began_s + n, 0, n * read_a_second, n * read_a_second + lag, True)
        for n, lag in enumerate(lags)
    ]


def lag_of(seen):
    return figures(LOAD, OFFERED, seen, group="g", delay_s=0.01, audit="clean", violations=0)


def test_the_peak_is_of_all_partitions_at_one_look():
    found = lag_of({0: seen_every_second(0, 30, 10, 0), 1: seen_every_second(0, 0, 40, 0)})
    assert (found.peak, found.peak_at_s) == (50, 2.0)
    assert [one.peak for one in found.partitions] == [30, 40]
    assert totals(found.points) == {0.0: 0, 1.0: 30, 2.0: 50, 3.0: 0}


def test_it_is_drained_at_the_first_look_after_which_nothing_lagged_again():
    growing, falling = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100], [60, 20, 0, 5, 0, 0]
    found = lag_of({0: seen_every_second(*growing, *falling)})
    assert found.drained_s == 5.0  # after the load's end at 10 s: at 15 s, not at 13 s
    assert found.is_right


def test_what_still_lags_at_the_last_look_is_not_drained():
    found = lag_of({0: seen_every_second(0, 10, 20, 10), 1: seen_every_second(0, 0, 0, 0)})
    assert found.drained_s is None
    assert not found.is_right


def test_what_never_lagged_was_drained_when_the_load_ended():
    assert lag_of({0: seen_every_second(*[0] * 12)}).drained_s == 0.0


def test_the_verdict_is_one_under_the_load_and_another_when_it_is_over():
    growing, falling = [1, *range(10, 110, 10)], [80, 40, 0, 0]
    one = lag_of({0: seen_every_second(*growing, *falling)}).partitions[0]
    assert (one.verdict_under_load, one.verdict_at_last) == ("WARN", "OK")
    assert (one.at_load_end, one.at_last) == (100, 0)


def test_between_two_commits_lag_grows_and_falls_at_each_and_still_it_grows_too_much():
    # Looked at four times a second, a commit each second: as the roles do it.
    seen = []
    for n in range(40):
        at_s, read = n / 4, 50 * (n // 4)
        seen.append(Observation(100.0 + at_s, 0, read, 1 + round(100 * at_s), True))
    assert any(later.lag < earlier.lag for earlier, later in pairwise(seen))
    assert lag_of({0: seen}).partitions[0].verdict_under_load == "WARN"


def looks_of(seconds, reads_to, ends_at):
    """Four a second; each second the group commits how far it has come by then."""
    return [Observation(100.0 + n / 4, 0, reads_to(n // 4), ends_at(n / 4), True) for n in range(4 * seconds)]


def test_who_reads_all_and_commits_once_a_second_keeps_up():
    uneven = [0, 2, 5, 7, 4, 6, 8, 9, 3, 7]  # were left by each commit
    seen = looks_of(10, lambda s: 100 * s - uneven[s], lambda at_s: round(100 * at_s))
    assert lag_of({0: seen}).partitions[0].verdict_under_load == "OK"


def test_of_a_few_seconds_it_cannot_be_said_that_lag_grows_on():
    seen = looks_of(5, lambda s: 50 * s, lambda at_s: 1 + round(100 * at_s))
    assert lag_of({0: seen}).partitions[0].verdict_under_load == "OK"


def test_what_lagged_before_the_load_is_not_of_it():
    before = seen_every_second(90, 40, began_s=98.0)
    found = lag_of({0: [*before, *seen_every_second(0, 30, 0)]})
    assert (found.peak, found.peak_at_s, found.partitions[0].peak) == (30, 1.0, 30)


class ATime:
    """Goes on by the time between two looks whenever somebody asks for it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += LOOK_EVERY_S
        return self.now_s


def watch_of(*lags: int) -> tuple[Watch, list[int]]:
    """One that sees these lags, and the last of them for ever."""
    left = [*lags]

    def look():
        return {0: Observation(0.0, 0, 0, left.pop(0) if len(left) > 1 else left[0], True)}

    return Watch(look, clock=ATime()), left


def test_a_watch_goes_on_until_nothing_is_left():
    watch, _ = watch_of(30, 20, 10, 0)
    watch.look_if_due()
    told: list[int] = []
    watch.until_drained(told.append)
    assert (watch.lag, told[-1]) == (0, 0)


def test_a_watch_gives_up_on_what_does_not_get_less():
    watch, _ = watch_of(30, 20, 20)
    watch.look_if_due()
    watch.until_drained(lambda _: None)
    assert watch.lag == 20
    assert watch.clock.now_s > DRAIN_PATIENCE_S


def test_a_watch_does_not_look_more_often_than_it_should():
    watch, left = watch_of(3, 2, 1, 0)
    watch.clock = lambda: 100.0
    watch.look_if_due()
    watch.look_if_due()
    assert len(left) == 3
