"""Charts of recall: against the desired retention, against FSRS's predictions, by deck and by concept."""

from collections.abc import Iterator, Mapping

from flashcards.decks.deck import Decks
from flashcards.stats.statistics import (
    CardHistory,
    compute_forgetting,
    recall_by_subject,
    recall_by_week,
    sum_minutes_by_subject,
)
from study.base.confidence_intervals import Share, format_percent
from study.base.days import format_short_date
from study.base.units import as_three_digits
from study.content.concepts import ConceptMap
from study.learner.progress import WEEKS
from study.plots.plot import Plot
from study.plots.points import Curve, Points, place_point
from study.plots.rows import PlotRow, Rows

ROWS_AT_MOST = 12
DOTS = "A dot is a measured share, its line the 95 % interval (Wilson)."


def recall_by_week_figure(history: CardHistory, scope: str) -> Iterator[Plot]:
    """Yield recall by week against the target; nothing before a card came back after a day."""
    weeks = recall_by_week(history)
    if not weeks:
        return
    target = history.scheduling.desired_retention
    overall = Share(hits=sum(s.hits for s in weeks.values()), trials=sum(s.trials for s in weeks.values()))
    recalled = f"You recalled {format_percent(overall.value)} of {overall.trials:,} cards that came back"
    title = f"{recalled}; {_format_aim(overall, target)}"
    last = max(weeks)
    places = {day: (day - last).days / 7 for day in weeks}
    yield Plot(
        name="retention",
        title=title,
        subtitle=f"By week over the last {WEEKS}, {scope}; reviews at least a day after the card's last one.",
        header=("week to", "recalled", "asked", "share, %", "95 % from", "95 % to", "aim, %"),
        rows=tuple((day.isoformat(), *share.cells, 100 * target) for day, share in weeks.items()),
        alt=f"{title}. "
        + "; ".join(f"week to {format_short_date(day)} {share}" for day, share in weeks.items())
        + ".",
        drawing=Points(
            points=tuple(place_point(places[day], share) for day, share in weeks.items()),
            measured=f"recalled, with its 95 % interval (Wilson): {overall} over all these weeks",
            curves=(Curve(xs=(min(places.values()) - 0.4, 0.4), ys=(target, target)),),
            computed=f"what you aim at: {format_percent(target)}",
            x_label="week up to",
            y_label="share recalled",
            x_ticks=tuple((place, format_short_date(day)) for day, place in places.items()),
            joined=True,
        ),
    )


def plot_forgetting_curve(history: CardHistory, scope: str) -> Iterator[Plot]:
    """Yield the forgetting curve: recall by elapsed time, next to FSRS's predictions for the same reviews."""
    bins = compute_forgetting(history)
    if not bins:
        return
    trials = [each.share.trials for each in bins]
    largest = bins[trials.index(max(trials))]
    low, high = largest.share.interval
    differs = "less than" if largest.expected > high else "more than"
    fits = "about" if low <= largest.expected <= high else differs
    title = (
        f"After {largest.label} you recall {format_percent(largest.share.value)}, {fits} "
        f"the {format_percent(largest.expected)} that the model expects"
    )
    places = tuple(float(number) for number in range(len(bins)))
    yield Plot(
        name="forgetting",
        title=title,
        subtitle=f"By time since the last review, {scope}; measured on {len(history.recalls):,} reviews.",
        header=("time since", "recalled", "asked", "share, %", "95 % from", "95 % to", "expected, %"),
        rows=tuple((each.label, *each.share.cells, 100 * each.expected) for each in bins),
        alt=f"{title}. "
        + "; ".join(f"{b.label}: {b.share}, expected {format_percent(b.expected)}" for b in bins)
        + ".",
        drawing=Points(
            points=tuple(place_point(place, each.share) for place, each in zip(places, bins, strict=True)),
            measured="recalled, with its 95 % interval (Wilson)",
            curves=(Curve(xs=places, ys=tuple(each.expected for each in bins)),),
            computed=(
                f"expected by FSRS-6 with {history.scheduling.whose} parameters, mean over the same reviews"
            ),
            x_label="time since the last review",
            y_label="share recalled",
            x_ticks=tuple((place, each.label) for place, each in zip(places, bins, strict=True)),
        ),
    )


def chart_subjects(history: CardHistory, decks: Decks, concepts: ConceptMap, scope: str) -> Iterator[Plot]:
    """Yield recall and time by deck and by concept."""
    target = history.scheduling.desired_retention
    of_deck, of_concept = decks.titles_of, decks.concepts_of
    by_concept = {concepts.name(key): share for key, share in recall_by_subject(history, of_concept).items()}
    yield from _recall_rows("retention-by-deck", "deck", recall_by_subject(history, of_deck), target, scope)
    yield from _recall_rows("retention-by-concept", "concept", by_concept, target, scope)
    spent = {
        concepts.name(key): minutes for key, minutes in sum_minutes_by_subject(history, of_concept).items()
    }
    yield from _chart_time("time-by-deck", "deck", sum_minutes_by_subject(history, of_deck), scope)
    yield from _chart_time("time-by-concept", "concept", spent, scope)


def _recall_rows(
    name: str, kind: str, shares: Mapping[str, Share], target: float, scope: str
) -> Iterator[Plot]:
    if not shares:
        return
    weakest, share = next(iter(shares.items()))
    title = f"Weakest {kind}: {weakest}, {format_percent(share.value)} of {share.trials} recalled"
    shown = list(shares.items())[:ROWS_AT_MOST]
    yield Plot(
        name=name,
        title=title,
        subtitle=f"Share recalled by {kind}, {scope}, weakest first; measured.",
        header=(kind, "recalled", "asked", "share, %", "95 % from", "95 % to"),
        rows=tuple((key, *each.cells) for key, each in shares.items()),
        alt=f"{title}. " + "; ".join(f"{key} {each}" for key, each in shown) + ".",
        drawing=Rows(
            rows=tuple(
                PlotRow(
                    name=key, value=each.value, number=f"{each.hits} of {each.trials}", interval=each.interval
                )
                for key, each in shown
            ),
            x_label="share recalled",
            footnote=(
                f"{DOTS} Dashed: what you aim at, {format_percent(target)}.{_format_rest(len(shares), kind)}"
            ),
            target=target,
        ),
    )


def _chart_time(name: str, kind: str, spent: Mapping[str, float], scope: str) -> Iterator[Plot]:
    total = sum(spent.values())
    if total <= 0:
        return
    first, minutes = next(iter(spent.items()))
    title = f"Most time went to {first}: {as_three_digits(minutes)} of {as_three_digits(total)} minutes"
    shown = list(spent.items())[:ROWS_AT_MOST]
    note = " A card about two concepts counts half for each." if kind == "concept" else ""
    yield Plot(
        name=name,
        title=title,
        subtitle=f"Minutes at the cards by {kind}, {scope}; measured.",
        header=(kind, "minutes"),
        rows=tuple((key, round(each, 2)) for key, each in spent.items()),
        alt=f"{title}. " + "; ".join(f"{key} {each:.1f}" for key, each in shown) + ".",
        drawing=Rows(
            rows=tuple(PlotRow(name=key, value=each, number=f"{each:.1f}") for key, each in shown),
            x_label="minutes",
            footnote=f"From seeing a card to rating it.{note}{_format_rest(len(spent), kind)}",
        ),
    )


def _format_rest(count: int, kind: str) -> str:
    return f" The table has all {count} {kind}s." if count > ROWS_AT_MOST else ""


def _format_aim(share: Share, target: float) -> str:
    low, high = share.interval
    aim = f"the {format_percent(target)} you aim at"
    if high < target:
        return f"that is below {aim}"
    return f"that is above {aim}" if low > target else f"that agrees with {aim}"
