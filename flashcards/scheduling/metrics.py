"""Metrics of predicted recall: log loss, RMSE in bins, AUC. Pure functions.

Report all three, because each alone can be gamed (the benchmark's README shows how for RMSE in bins).
"""

import math
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
    return Measures(log_loss=log_loss(pairs), rmse_bins=rmse_bins(recalls), auc=compute_auc(pairs))


def log_loss(pairs: Sequence[tuple[float, bool]]) -> float:
    """Return the mean log loss in nats: 0 is perfect, ln 2 = 0.693 is a coin toss."""
    clipped = ((min(max(predicted, SMALLEST), 1 - SMALLEST), happened) for predicted, happened in pairs)
    return -sum(math.log(chance if happened else 1 - chance) for chance, happened in clipped) / len(pairs)


def compute_auc(pairs: Iterable[tuple[float, bool]]) -> float | None:
    """Return the chance that a recalled card's prediction beats a forgotten card's; ties count half."""
    ordered = sorted(pairs)
    positives = sum(happened for _, happened in ordered)
    negatives = len(ordered) - positives
    if not positives or not negatives:
        return None
    ranks, start = 0.0, 0
    while start < len(ordered):
        end = start
        while end < len(ordered) and ordered[end][0] == ordered[start][0]:
            end += 1
        shared_rank = (start + 1 + end) / 2
        ranks += shared_rank * sum(happened for _, happened in ordered[start:end])
        start = end
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


def rmse_bins(recalls: Iterable[Recall]) -> float:
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
        _on_log_scale(recall.elapsed_days, 3.62),
        _on_log_scale(recall.number, 1.89),
        _on_log_scale(recall.lapses, 1.73) if recall.lapses else -1,
    )


def _on_log_scale(value: float, base: float) -> float:
    """Return the index of the bin; the benchmark labels it by a value inside it, which is equivalent."""
    return math.floor(math.log(max(value, SMALLEST)) / math.log(base))


def is_better(after: Measures, before: Measures) -> bool:
    """Return whether the new parameters are kept: their log loss on the held-out reviews is lower."""
    return after.log_loss < before.log_loss
