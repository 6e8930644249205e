"""How well predictions of recall came true: log loss, RMSE in bins, AUC. Pure functions.

The three go together: each can be gamed alone (the benchmark's README shows how for RMSE in bins).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from flashcards.scheduling.replay import Recall

SMALLEST = 1e-6  # a prediction of exactly 0 or 1 that fails would cost infinitely much


@dataclass(frozen=True, kw_only=True)
class Measures:
    """The three measures on the same reviews. Lower is better, but for the AUC."""

    log_loss: float
    rmse_bins: float
    auc: float | None
    """None where everything was recalled, or nothing was."""

    def to_json(self) -> dict[str, float | None]:
        """As it is stored."""
        return asdict(self)


def measures(recalls: Sequence[Recall]) -> Measures:
    """All three. There must be at least one review."""
    pairs = [(recall.predicted, recall.recalled) for recall in recalls]
    return Measures(log_loss=log_loss(pairs), rmse_bins=rmse_bins(recalls), auc=auc(pairs))


def log_loss(pairs: Sequence[tuple[float, bool]]) -> float:
    """Mean surprise, in nats: 0 is perfect, ln 2 = 0.693 is a coin toss."""
    return -sum(_log_chance(predicted, happened) for predicted, happened in pairs) / len(pairs)


def auc(pairs: Iterable[tuple[float, bool]]) -> float | None:
    """The chance that a recalled card had the higher prediction than a forgotten one; ties count half."""
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
    """Root mean square of "share recalled minus mean prediction" over bins of like reviews.

    The bins are the FSRS benchmark's: by elapsed days, number of the review and lapses, each on a log scale
    (open-spaced-repetition/srs-benchmark, utils.py, rmse_matrix).
    """
    bins: dict[tuple[float, float, float], list[Recall]] = {}
    for recall in recalls:
        bins.setdefault(_bin(recall), []).append(recall)
    total = sum(len(group) for group in bins.values())
    return math.sqrt(sum(len(group) * _gap(group) ** 2 for group in bins.values()) / total)


def _gap(group: Sequence[Recall]) -> float:
    return sum(recall.recalled - recall.predicted for recall in group) / len(group)


def _bin(recall: Recall) -> tuple[float, float, float]:
    return (
        _on_log_scale(recall.elapsed_days, 3.62),
        _on_log_scale(recall.number, 1.89),
        _on_log_scale(recall.lapses, 1.73) if recall.lapses else -1,
    )


def _on_log_scale(value: float, base: float) -> float:
    """The number of the bin; the benchmark names each bin by a value inside it, which comes to the same."""
    return math.floor(math.log(max(value, SMALLEST)) / math.log(base))


def _log_chance(predicted: float, happened: bool) -> float:
    clipped = min(max(predicted, SMALLEST), 1 - SMALLEST)
    return math.log(clipped if happened else 1 - clipped)


def better(after: Measures, before: Measures) -> bool:
    """Whether parameters are worth keeping: the held-out reviews surprise less."""
    return after.log_loss < before.log_loss
