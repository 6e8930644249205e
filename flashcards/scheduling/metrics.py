"""Metrics of predicted recall: log loss, RMSE in bins, AUC. Pure functions.

Report all three, because each alone can be gamed (the benchmark's README shows how for RMSE in bins).
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from flashcards.scheduling.replay import Recall

SMALLEST = 1e-6  # clips predictions: a wrong prediction of exactly 0 or 1 has infinite log loss


@dataclass(frozen=True, kw_only=True)
class Measures:
    """The three metrics on the same reviews. Lower is better, except for the AUC."""

    log_loss: float
    rmse_bins: float
    auc: float | None
    """None if every review was recalled, or none was."""


def compute_metrics(recalls: Sequence[Recall]) -> Measures:
    """Compute all three metrics. `recalls` must not be empty."""
    pairs = [(recall.predicted, recall.recalled) for recall in recalls]
    return Measures(
        log_loss=compute_log_loss(pairs), rmse_bins=compute_rmse_bins(recalls), auc=compute_auc(pairs)
    )


def compute_log_loss(pairs: Sequence[tuple[float, bool]]) -> float:
    """Return the mean log loss in nats: 0 is perfect, ln 2 = 0.693 is a coin toss."""
    clipped = ((min(max(predicted, SMALLEST), 1 - SMALLEST), happened) for predicted, happened in pairs)
    return -sum(math.log(chance if happened else 1 - chance) for chance, happened in clipped) / len(pairs)


def compute_auc(pairs: Sequence[tuple[float, bool]]) -> float | None:
    """Return the chance that a recalled card's prediction beats a forgotten card's; ties count half."""
    recalled = [predicted for predicted, happened in pairs if happened]
    forgotten = sorted(predicted for predicted, happened in pairs if not happened)
    if not recalled or not forgotten:
        return None
    # On the left are the forgotten cards below a prediction; on the right, those at it as well.
    beaten_twice = sum(bisect_left(forgotten, each) + bisect_right(forgotten, each) for each in recalled)
    return beaten_twice / 2 / (len(recalled) * len(forgotten))


def compute_rmse_bins(recalls: Iterable[Recall]) -> float:
    """Return the root mean square of "share recalled minus mean prediction" over bins of similar reviews.

    The bins are the FSRS benchmark's: by elapsed days, number of the review and lapses, each on a log scale
    (open-spaced-repetition/srs-benchmark, utils.py, rmse_matrix).
    """
    bins: dict[tuple[float, float, float], list[Recall]] = {}
    for recall in recalls:
        bins.setdefault(_choose_bin(recall), []).append(recall)
    gaps = [(len(group), fmean(each.recalled - each.predicted for each in group)) for group in bins.values()]
    return math.sqrt(sum(count * gap**2 for count, gap in gaps) / sum(count for count, _ in gaps))


def _choose_bin(recall: Recall) -> tuple[float, float, float]:
    return (
        _compute_log_bin(recall.elapsed_days, 3.62),
        _compute_log_bin(recall.number, 1.89),
        _compute_log_bin(recall.lapses, 1.73) if recall.lapses else -1,
    )


def _compute_log_bin(value: float, base: float) -> float:
    """Compute the index of the bin; the benchmark labels it by a value inside it, which is equivalent."""
    return math.floor(math.log(max(value, SMALLEST)) / math.log(base))


def is_better(after: Measures, before: Measures) -> bool:
    """Return whether the new parameters are kept: their log loss on the held-out reviews is lower."""
    return after.log_loss < before.log_loss
