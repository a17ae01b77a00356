"""Whatever happens to a breaker, and in whatever order."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from serve_app.config.policy import USUAL_BREAKER, BreakerPolicy
from serve_app.resilience.breaker import Breaker, BreakerState
from serve_app.resilience.outcome import Outcome

OUTCOMES = st.sampled_from([Outcome.SUCCESS, Outcome.FAILURE, Outcome.IGNORED])
SPANS = st.sampled_from(["reset_timeout", "half_open_timeout"])


class World(RuleBasedStateMachine):
    """Callers who ask, probes that report or never do, and time that passes."""

    now = 1_000_000.0
    breaker = Breaker(last_change=now)
    probe: float | None = None
    checked_at = 0.0
    lost: tuple[float, ...] = ()
    policy = BreakerPolicy()

    @initialize(
        threshold=st.integers(1, 5),
        reset=st.floats(0, 200),
        window=st.floats(1, 100),
        successes=st.integers(1, 3),
        check_s=st.sampled_from([0.0, 5.0]),
    )
    def configured(self, threshold: int, reset: float, window: float, successes: int, check_s: float) -> None:
        self.policy = BreakerPolicy(
            failure_threshold=threshold,
            failure_rate_calls=4,
            reset_timeout=reset,
            reset_timeout_max=3 * reset,
            check_interval_s=check_s,
            half_open_timeout=window,
            success_threshold=successes,
        )

    @rule(share=st.floats(0, 1.1), span=SPANS)
    def time_passes(self, share: float, span: str) -> None:
        self.now += share * getattr(self.policy, span)
        if self.probe is not None and self.now >= self.probe:
            self.lost = (*self.lost, self.probe)  # it may still report, or never
            self.probe = None

    @rule()
    def somebody_looks(self) -> None:
        self._becomes(self.breaker.at(self.now, self.policy))

    @rule(began_ago_s=st.floats(0, 20))
    def a_check_finds_the_provider_well(self, began_ago_s: float) -> None:
        self.checked_at = self.now - began_ago_s
        self._becomes(self.breaker.heard(Outcome.WELL, None, self.checked_at, self.policy))

    @rule(outcome=OUTCOMES)
    def an_ordinary_attempt_ends(self, outcome: Outcome) -> None:
        self._becomes(self.breaker.heard(outcome, None, self.now, self.policy))

    @rule(replica=st.sampled_from("abcdefgh"))
    def an_attempt_ends_with_the_death_of_its_replica(self, replica: str) -> None:
        before = self.breaker
        self._becomes(before.heard(Outcome.FAILURE, None, self.now, self.policy, replica))
        again = self.breaker.heard(Outcome.FAILURE, None, self.now, self.policy, replica)
        if self.breaker.state is BreakerState.CLOSED:
            assert again == self.breaker, "one death counted twice"

    @rule()
    def somebody_asks_for_the_probe(self) -> None:
        probed = self.breaker.probed(self.now, self.policy)
        if probed is None:
            return
        assert self.probe is None, "two probes are out at once"
        assert self.breaker.state is not BreakerState.CLOSED
        self._becomes(probed)
        self.probe = probed.probe_until

    @precondition(lambda self: self.probe is not None)
    @rule(outcome=OUTCOMES)
    def the_probe_ends(self, outcome: Outcome) -> None:
        ended, self.probe = self.probe, None
        self._becomes(self.breaker.heard(outcome, ended, self.now, self.policy))

    @precondition(lambda self: self.lost)
    @rule(outcome=OUTCOMES)
    def a_lost_probe_reports_late(self, outcome: Outcome) -> None:
        *rest, late = self.lost
        self.lost = tuple(rest)
        self._becomes(self.breaker.heard(outcome, late, self.now, self.policy))
        if self.breaker.state is not BreakerState.HALF_OPEN:
            self.probe = None  # whoever is out reports to a breaker that no longer waits for it

    @rule()
    def an_operator_resets_it(self) -> None:
        self._becomes(self.breaker.reset(self.now))
        assert self.breaker.admits_without_asking()
        self.probe = None

    @invariant()
    def counts_are_never_negative_and_open_means_a_failure_was_seen(self) -> None:
        assert self.breaker.failure_count >= 0
        assert self.breaker.success_count >= 0
        assert len(self.breaker.counted_deaths) <= self.breaker.failure_count, "it grows without bound"
        if self.breaker.state is not BreakerState.CLOSED:
            assert self.breaker.last_failure is not None
            assert self.breaker.failure_count > 0

    @invariant()
    def a_provider_that_recovers_is_always_used_again(self) -> None:
        """From here on every call succeeds, and whoever may ask, asks."""
        breaker, now = self.breaker, self.now
        while breaker.state is not BreakerState.CLOSED:
            successes = breaker.success_count
            now += max(self.policy.wait_s(breaker.openings), self.policy.half_open_timeout) + 1
            probed = breaker.probed(now, self.policy)
            assert probed is not None, "a provider that is well again is not even tried"
            breaker = probed.heard(Outcome.SUCCESS, probed.probe_until, now, self.policy)
            assert breaker.state is BreakerState.CLOSED or breaker.success_count > successes

    def _becomes(self, after: Breaker) -> None:
        before, self.breaker = self.breaker, after
        was_reset = after == Breaker(last_change=self.now)
        if before.state is BreakerState.OPEN and after.state is not BreakerState.OPEN and not was_reset:
            assert after.state is BreakerState.HALF_OPEN
            since_s = self.policy.check_interval_s
            was_checked = since_s > 0 and self.checked_at >= before.last_change + since_s
            assert was_checked or self.now >= before.opens_at(self.policy), "open admits before its time"


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


HISTORY = st.lists(
    st.tuples(st.floats(0, 90), st.sampled_from([Outcome.FAILURE, Outcome.SUCCESS, Outcome.IGNORED, None])),
    max_size=40,
)


def after_an_outage(history: list[tuple[float, Outcome | None]]) -> tuple[Breaker, float]:
    """
    Return the usual breaker after callers, and probes where there are any, ended so; and the moment.

    None: a probe, if it is one, is lost.
    """
    breaker, now = Breaker(last_change=1_000_000.0), 1_000_000.0
    for later_s, outcome in history:
        now += later_s
        probed = breaker.probed(now, USUAL_BREAKER)
        breaker = (probed or breaker).at(now, USUAL_BREAKER)
        if outcome is not None:
            breaker = breaker.heard(outcome, breaker.probe_until if probed else None, now, USUAL_BREAKER)
    return breaker, now


def seconds_until_closed(breaker: Breaker, recovered_at: float, checks: bool) -> float:
    """Return how long a provider that is well now is left alone, when somebody asks every second."""
    now = checked_at = recovered_at
    while breaker.at(now, USUAL_BREAKER).state is not BreakerState.CLOSED:
        now += 1.0
        if checks and now >= checked_at + USUAL_BREAKER.check_interval_s:
            breaker, checked_at = breaker.heard(Outcome.WELL, None, now, USUAL_BREAKER), now
        if probed := breaker.probed(now, USUAL_BREAKER):
            breaker = probed.heard(Outcome.SUCCESS, probed.probe_until, now, USUAL_BREAKER)
    return now - recovered_at


@given(HISTORY)
def test_by_default_it_is_closed_within_a_minute_of_recovery_whatever_was_before(
    history: list[tuple[float, Outcome | None]],
) -> None:
    assert seconds_until_closed(*after_an_outage(history), checks=False) < 60


@given(HISTORY)
def test_where_a_check_costs_nothing_a_lost_probe_is_all_that_may_keep_it_open_for_longer(
    history: list[tuple[float, Outcome | None]],
) -> None:
    breaker, now = after_an_outage(history)

    lost_s = USUAL_BREAKER.half_open_timeout if breaker.probe_is_out(now) else 0.0
    assert seconds_until_closed(breaker, now, checks=True) <= 15 + lost_s
