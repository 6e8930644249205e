"""Log loss, AUC and RMSE in bins, against numbers worked out by hand."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcards.scheduling.metrics import (
    Measures,
    compute_auc,
    compute_log_loss,
    compute_metrics,
    compute_rmse_bins,
    is_better,
)
from flashcards.scheduling.replay import Recall

PAIRS = st.lists(st.tuples(st.sampled_from([0.2, 0.5, 0.7, 0.9]), st.booleans()), min_size=1, max_size=30)


def recall(predicted: float, recalled: bool, *, days: int = 3, number: int = 2, lapses: int = 0) -> Recall:
    return Recall(
        card_id="card",
        at=datetime(2026, 3, 4, tzinfo=UTC),
        elapsed_days=days,
        number=number,
        lapses=lapses,
        phase="review",
        predicted=predicted,
        recalled=recalled,
    )


def test_log_loss_is_the_mean_surprise() -> None:
    assert compute_log_loss([(0.9, True), (0.8, False)]) == pytest.approx(
        -(math.log(0.9) + math.log(0.2)) / 2
    )
    assert compute_log_loss([(0.5, True)]) == pytest.approx(math.log(2))
    assert math.isfinite(compute_log_loss([(1.0, False)]))


def test_auc_counts_pairs_in_the_right_order_and_ties_half() -> None:
    # 0.9 and 0.6 were recalled, 0.6 and 0.3 forgotten: of four pairs three are right and one is a tie.
    assert compute_auc([(0.9, True), (0.6, True), (0.6, False), (0.3, False)]) == pytest.approx(3.5 / 4)
    assert compute_auc([(0.9, True), (0.8, True)]) is None


@given(PAIRS)
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[float, bool]]) -> None:
    right = [predicted for predicted, happened in pairs if happened]
    wrong = [predicted for predicted, happened in pairs if not happened]
    points = [1.0 if r > w else 0.5 if r == w else 0.0 for r in right for w in wrong]
    assert compute_auc(pairs) == (pytest.approx(sum(points) / len(points)) if points else None)


def test_rmse_in_bins_weighs_each_bins_gap_by_its_size() -> None:
    # Two reviews after 3 days: 0.5 recalled, 0.8 expected. One after 30 days: 1 recalled, 0.9 expected.
    together = [recall(0.8, True), recall(0.8, False), recall(0.9, True, days=30)]
    assert compute_rmse_bins(together) == pytest.approx(math.sqrt((2 * 0.3**2 + 1 * 0.1**2) / 3))


@pytest.mark.parametrize("other", [{"days": 20}, {"number": 9}, {"lapses": 1}])
def test_reviews_of_another_time_number_or_lapses_are_in_another_bin(other: dict[str, int]) -> None:
    # Two errors that would cancel out in one bin.
    assert compute_rmse_bins([recall(0.5, True), recall(0.5, False)]) == 0
    assert compute_rmse_bins([recall(0.5, True), recall(0.5, False, **other)]) == pytest.approx(0.5)


def test_all_three_are_measured_and_log_loss_decides() -> None:
    found = compute_metrics([recall(0.9, True), recall(0.4, False)])
    assert found == Measures(log_loss=found.log_loss, rmse_bins=found.rmse_bins, auc=1.0)
    worse = Measures(log_loss=found.log_loss + 0.01, rmse_bins=0.0, auc=1.0)
    assert is_better(found, worse)
    assert not is_better(worse, found)
    assert not is_better(found, found)
