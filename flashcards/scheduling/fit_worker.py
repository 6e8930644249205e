"""Fit FSRS parameters to one learner's reviews in a process of its own, which loads torch.

`python -m flashcards.scheduling.fit_worker` reads one JSON object from standard input and prints one:

    {"reviews": [["card", 3, "2026-03-04T10:00:00+00:00"], ...], "parameters": [...]}
    {"parameters": [...], "reviews": 700, "held_out": 140, "before": {...}, "after": {...}}

The first four fifths of the reviews, by time, are the training set; the last fifth is the held-out set, which
is predicted once with the given parameters and once with the fitted ones.
"""

import json
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import fsrs
import torch
from fsrs import optimizer

from flashcards.scheduling.metrics import Measures, compute_metrics
from flashcards.scheduling.replay import replay_recalls
from flashcards.scheduling.scheduler import Scheduling
from study.store.logs.cards import CardReview

HELD_OUT_SHARE = 0.2
# The package's mini-batch has 512 reviews, and it learns nothing from fewer. With mini-batches of 128, its
# five epochs over 410 reviews make 20 optimizer steps instead of none.
STEP_REVIEWS = 128


def fit_parameters(reviews: Sequence[CardReview], parameters: tuple[float, ...]) -> dict[str, Any]:
    """Fit parameters to the earlier reviews and compare both parameter sets on the held-out ones."""
    before = Scheduling(parameters=parameters)
    # Sorted, because an import appends reviews that are older than those before them.
    moments = sorted(recall.at for recall in replay_recalls(reviews, before))
    held_out = max(1, round(HELD_OUT_SHARE * len(moments)))
    split = moments[-held_out]
    fitted = Scheduling(parameters=_fit_fsrs([review for review in reviews if review.reviewed_at < split]))
    return {
        "parameters": list(fitted.parameters),
        "reviews": len(moments),
        "held_out": sum(moment >= split for moment in moments),
        "before": vars(_measure_later(reviews, before, split)),
        "after": vars(_measure_later(reviews, fitted, split)),
    }


def _fit_fsrs(reviews: Sequence[CardReview]) -> tuple[float, ...]:
    torch.set_num_threads(1)  # the optimizer computes single numbers: more threads only wait for each other
    optimizer.mini_batch_size = STEP_REVIEWS
    numbers = {card: number for number, card in enumerate(dict.fromkeys(r.card_id for r in reviews))}
    logs = [
        fsrs.ReviewLog(
            card_id=numbers[review.card_id],
            rating=fsrs.Rating(review.rating),
            review_datetime=review.reviewed_at,
            review_duration=None,
        )
        for review in reviews
    ]
    return tuple(optimizer.Optimizer(logs).compute_optimal_parameters())


def _measure_later(reviews: Sequence[CardReview], scheduling: Scheduling, split: datetime) -> Measures:
    return compute_metrics([recall for recall in replay_recalls(reviews, scheduling) if recall.at >= split])


def _read_review(entry: Sequence[Any]) -> CardReview:
    card, rating, moment = entry
    at = datetime.fromisoformat(moment)
    return CardReview(id=0, card_id=card, rating=rating, reviewed_at=at, duration_ms=0, new=False)


if __name__ == "__main__":
    if hasattr(os, "nice"):  # not on Windows
        os.nice(10)  # the learner is studying meanwhile
    asked = json.load(sys.stdin)
    json.dump(
        fit_parameters([_read_review(entry) for entry in asked["reviews"]], tuple(asked["parameters"])),
        sys.stdout,
    )
