"""Charts of the review log: when and how much was studied, and the FSRS memory states of the cards."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise
from statistics import median

from flashcards.decks.deck import Decks
from flashcards.scheduling.scheduler import RATING_NAMES, RATINGS
from flashcards.stats.recall_charts import chart_subjects, plot_forgetting_curve, recall_by_week_figure
from flashcards.stats.statistics import (
    CardHistory,
    count_buttons,
    count_due_by_day,
    count_reviews_by_day,
    recall_now,
    sum_minutes_by_day,
)
from study.base.days import format_short_date
from study.content.concepts import ConceptMap
from study.plots.calendar import WEEKS_WIDE, Calendar
from study.plots.columns import Columns
from study.plots.plot import Plot

MONTH = 30
STABILITY_ENDS = (1, 3, 7, 14, 30, 60, 120, 240)  # days


def chart_cards(history: CardHistory, decks: Decks, concepts: ConceptMap, *, scope: str) -> Iterator[Plot]:
    """Yield every chart of a history that has a review; `scope` names the cards."""
    yield chart_calendar(history, scope)
    yield from recall_by_week_figure(history, scope)
    yield from plot_forgetting_curve(history, scope)
    if history.memories:
        yield chart_forecast(history, scope)
        yield chart_stability(history, scope)
        yield chart_difficulty(history, scope)
        yield compute_retrievability_now(history, scope)
    yield from answer_buttons(history, scope)
    yield chart_time_spent(history, scope)
    yield from chart_subjects(history, decks, concepts, scope)


def chart_calendar(history: CardHistory, scope: str) -> Plot:
    """Return the calendar heat map of ratings per day, half a year back."""
    counts = count_reviews_by_day(history)
    since = history.today - timedelta(days=MONTH - 1)
    recent = [count for day, count in counts.items() if day >= since]
    kept = {day: n for day, n in counts.items() if (history.today - day).days < 7 * WEEKS_WIDE}
    a_day = round(sum(recent) / len(recent)) if recent else 0
    if recent:
        ratings = "1 rating" if a_day == 1 else f"{a_day} ratings"
        title = f"You rated cards on {len(recent)} of the last {MONTH} days, on average {ratings} on each"
    else:
        title = f"You rated no card in the last {MONTH} days"
    return Plot(
        name="calendar",
        title=title,
        subtitle=f"Ratings per day, {scope}; measured, {sum(counts.values()):,} in all.",
        header=("day", "ratings"),
        rows=tuple((day.isoformat(), n) for day, n in sorted(kept.items(), reverse=True)),
        alt=f"{title}. The busiest day had {max(counts.values())} ratings.",
        drawing=Calendar(counts=tuple(sorted(kept.items())), last=history.today, unit="ratings"),
    )


def chart_forecast(history: CardHistory, scope: str) -> Plot:
    """Return the forecast of cards due on each of the coming days."""
    due = count_due_by_day(history, days=MONTH)
    total, most = sum(due.values()), max(due, key=due.__getitem__)
    if total:
        when = _format_day(most, history.today)
        title = f"{_format_cards(total)} due in the next {MONTH} days; the peak is {when}: {due[most]}"
    else:
        title = f"No card is due in the next {MONTH} days"
    return Plot(
        name="forecast",
        title=title,
        subtitle=f"Cards due per day, {scope}; computed from their schedules. Overdue cards count for today.",
        header=("day", "cards due"),
        rows=tuple((day.isoformat(), n) for day, n in due.items()),
        alt=f"{title}. Today {due[history.today]}.",
        drawing=Columns(
            labels=tuple(_label_day(day, history.today) for day in due),
            values=tuple(float(n) for n in due.values()),
            numbers=tuple(str(n) if n else "" for n in due.values()),
            x_label="day",
            y_label="cards due",
        ),
    )


def chart_stability(history: CardHistory, scope: str) -> Plot:
    """Return the histogram of stability in days."""
    values = [memory.stability for memory in history.memories.values()]
    edges = (0.0, *STABILITY_ENDS, float("inf"))
    names = ["under 1", *(f"{low}–{high}" for low, high in pairwise(STABILITY_ENDS)), "over 240"]
    title = f"Half of your {_count_values(values)} have a stability of {median(values):.3g} days or more"
    return _chart_histogram(
        "stability", title, values, edges, names,
        subtitle=f"Stability, {scope}: the days until recall falls to 90 %; computed by FSRS-6.",
        x_label="stability, days",
    )  # fmt: skip


def chart_difficulty(history: CardHistory, scope: str) -> Plot:
    """Return the histogram of difficulty, from 1 to 10."""
    values = [memory.difficulty for memory in history.memories.values()]
    hard = sum(value > 8 for value in values)
    title = f"The median difficulty is {median(values):.1f} of 10; {_format_cards(hard)} above 8"
    return _chart_histogram(
        "difficulty", title, values, [float(edge) for edge in range(1, 12)],
        [f"{edge}–{edge + 1}" for edge in range(1, 10)] + ["10"],
        subtitle=f"Difficulty from 1 to 10, {scope}; computed by FSRS-6 from your ratings.",
        x_label="difficulty",
    )  # fmt: skip


def compute_retrievability_now(history: CardHistory, scope: str) -> Plot:
    """Return the histogram of retrievability (the chance of recall now), in percent."""
    values = recall_now(history)
    title = f"Asked now, you would recall about {sum(values):.0f} of {_count_values(values)}"
    return _chart_histogram(
        "retrievability", title, [100 * value for value in values], [10.0 * step for step in range(11)],
        [f"{10 * step}–{10 * step + 10}" for step in range(10)],
        subtitle=f"Chance of recall now, {scope}; computed by FSRS-6. Their sum is in the title.",
        x_label="chance of recall, %",
    )  # fmt: skip


def answer_buttons(history: CardHistory, scope: str) -> Iterator[Plot]:
    """Yield the chart of how often each button was pressed; nothing before a card came back."""
    new, later = count_buttons(history)
    total = sum(later)
    if not total:
        return
    most = RATINGS[later.index(max(later))]
    share = [100 * n / total for n in later]
    title = f"You pressed {RATING_NAMES[most]} most: {share[most - 1]:.0f} % of {total:,} later ratings"
    yield Plot(
        name="buttons",
        title=title,
        subtitle=f"Ratings of cards seen before, {scope}; measured. Hard means: I remembered, with effort.",
        header=("button", "cards seen before", "share, %", "new cards"),
        rows=tuple(
            (RATING_NAMES[rating], later[rating - 1], share[rating - 1], new[rating - 1])
            for rating in RATINGS
        ),
        alt=f"{title}. " + ", ".join(f"{RATING_NAMES[r]} {share[r - 1]:.0f} %" for r in RATINGS) + ".",
        drawing=Columns(
            labels=tuple(RATING_NAMES[rating] for rating in RATINGS),
            values=tuple(share),
            numbers=tuple(f"{value:.0f} %" for value in share),
            x_label="button",
            y_label="share of ratings, %",
        ),
    )


def chart_time_spent(history: CardHistory, scope: str) -> Plot:
    spent = sum_minutes_by_day(history, days=MONTH)
    total, days = sum(spent.values()), sum(minutes > 0 for minutes in spent.values())
    title = f"You spent {_format_minutes(total)} at the cards in the last {MONTH} days"
    title += f", on average {_format_minutes(total / days)} on each of {days} days" if days else ""
    return Plot(
        name="time",
        title=title,
        subtitle=f"Minutes per day from seeing a card to rating it, {scope}; measured, at most 10 per card.",
        header=("day", "minutes"),
        rows=tuple((day.isoformat(), round(minutes, 2)) for day, minutes in spent.items()),
        alt=f"{title}.",
        drawing=Columns(
            labels=tuple(_label_day(day, history.today) for day in spent),
            values=tuple(spent.values()),
            numbers=tuple(f"{minutes:.1f}" if minutes else "" for minutes in spent.values()),
            x_label="day",
            y_label="minutes",
        ),
    )


def _chart_histogram(
    name: str,
    title: str,
    values: Sequence[float],
    edges: Sequence[float],
    names: Sequence[str],
    *,
    subtitle: str,
    x_label: str,
) -> Plot:
    """Return the histogram. A value on an edge belongs to the bin above, the last edge to the last bin."""
    places = [min(sum(value >= edge for edge in edges[1:]), len(names) - 1) for value in values]
    counts = [places.count(place) for place in range(len(names))]
    told = ", ".join(f"{label}: {n}" for label, n in zip(names, counts, strict=True) if n)
    return Plot(
        name=name,
        title=title,
        subtitle=subtitle,
        header=(x_label, "cards"),
        rows=tuple(zip(names, counts, strict=True)),
        alt=f"{title}. Cards by {x_label}: {told}.",
        drawing=Columns(
            labels=tuple(names),
            values=tuple(float(n) for n in counts),
            numbers=tuple(str(n) if n else "" for n in counts),
            x_label=x_label,
            y_label="cards",
        ),
    )


def _format_cards(count: int) -> str:
    return "1 card is" if count == 1 else f"{count:,} cards are"


def _count_values(values: Sequence[float]) -> str:
    return "1 card" if len(values) == 1 else f"{len(values):,} cards"


def _format_day(day: date, today: date) -> str:
    ahead = (day - today).days
    return "today" if ahead == 0 else "tomorrow" if ahead == 1 else f"on {day:%a} {format_short_date(day)}"


def _label_day(day: date, today: date) -> str:
    return "today" if day == today else format_short_date(day)


def _format_minutes(minutes: float) -> str:
    if minutes < 1:
        return f"{60 * minutes:.0f} seconds"
    return f"{minutes:.0f} {'minute' if round(minutes) == 1 else 'minutes'}"
