"""How sure a share is: Wilson's interval against published values, and at its edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.base.confidence_intervals import Share, compute_share

# Computed by statsmodels.stats.proportion.proportion_confint(method="wilson"), five digits.
KNOWN = [(8, 10, 0.49016, 0.94332), (0, 10, 0.0, 0.27753), (90, 100, 0.82563, 0.94477), (1, 1, 0.20655, 1.0)]


@pytest.mark.parametrize(("hits", "trials", "low", "high"), KNOWN)
def test_the_interval_is_wilsons(hits: int, trials: int, low: float, high: float) -> None:
    assert Share(hits=hits, trials=trials).interval == pytest.approx((low, high), abs=2e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_stays_a_share(counts: tuple[int, int]) -> None:
    share = Share(hits=counts[0], trials=counts[1])
    low, high = share.interval
    assert 0 <= low <= share.value + 1e-12
    assert share.value - 1e-12 <= high <= 1


def test_no_outcome_is_no_share() -> None:
    assert compute_share([]) is None
    assert compute_share([True, False]) == Share(hits=1, trials=2)


def test_a_share_is_told_with_its_interval() -> None:
    assert str(Share(hits=90, trials=100)).replace("\N{NO-BREAK SPACE}", " ") == "90 % (83 % to 94 %)"
