"""The cards' section of the Progress page: recall, retention slider with its workload, fit, charts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from flashcards.review.fit_scheduler import NEEDED
from flashcards.review.presenter import CardExercise
from flashcards.scheduling.scheduler import Scheduling
from flashcards.scheduling.simulation import StudyPlan, Workload, simulate_workload
from flashcards.stats.log_charts import chart_cards
from flashcards.stats.statistics import CardHistory, recall_lately
from study.base.confidence_intervals import format_percent
from study.learner.progress import CHARTS_FROM
from study.plots.plot import Plot
from study.plots.points import Curve, Points
from study.ports.context import Visit
from study.store.logs.preferences import RETENTION_HIGH, RETENTION_LOW
from study.text.templates import render
from study.web import form_event

AIMS = (0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97)  # desired retention, in the chart of workload
SIMULATED_CARDS, SIMULATED_DAYS = 100, 60  # small enough to simulate while a slider moves
MEASURES = (
    ("log_loss", "log loss", "lower"),
    ("rmse_bins", "RMSE in bins", "lower"),
    ("auc", "AUC", "higher"),
)


@dataclass(frozen=True, kw_only=True)
class CardSection:
    """The cards' section; implements `study.ports.progress.Section`."""

    exercise: CardExercise
    name: str = "cards"
    leading: Sequence[str] = ("retention", "forecast", "retention-by-concept")

    def render_html(self, visit: Visit) -> Markup:
        """Render recall, the retention slider and the fit; the slider works before the first rating, too."""
        history = self._read_history(visit)
        scheduling = history.scheduling
        self.exercise.fitting.consider(visit.profile.id)
        return render(
            "flashcards/stats/progress.html",
            **self._recall(history),
            reviews=len(history.reviews),
            charts_from=CHARTS_FROM,
            low=round(100 * RETENTION_LOW),
            high=round(100 * RETENTION_HIGH),
            chosen=round(100 * scheduling.desired_retention),
            scopes=self._list_scopes(history),
            scope=visit.query.get("scope", ""),
            **self._describe_fit(visit),
            **self._compute_workload(visit, scheduling.desired_retention),
        )

    def build_charts(self, visit: Visit) -> Iterator[Plot]:
        """Build the workload chart, then every chart of the chosen scope."""
        history = self._read_history(visit)
        if len(history.reviews) < CHARTS_FROM:
            return
        yield plot_workload(_read_plan(visit), history.scheduling)
        part, scope = self._select_part(history, visit.query.get("scope", ""))
        if part.reviews:
            decks = self.exercise.reviews.decks
            yield from chart_cards(part, decks, self.exercise.concepts, scope=scope)

    def act(self, event: dict[str, Any], visit: Visit) -> Mapping[str, Any] | None:
        """Handle the slider, its button, the choice of a scope, and the polling of a running fit."""
        match event.get("act"):
            case "retention":
                values = self._compute_workload(visit, _read_retention(event))
                now: Workload = values["now"]
                said = f"{format_percent(now.desired_retention)}: {now.reviews_a_day:.0f} ratings per day"
                return {
                    "parts": {"workload": render("flashcards/stats/workload.html", **values)},
                    "say": said,
                }
            case "keep-retention":
                return self._keep(visit, _read_retention(event))
            case "scope":
                scope = form_event.read_field(event, "scope")
                return {"goto": f"/progress?scope={scope}#memory" if scope else "/progress#memory"}
            case "poll":
                return {"parts": {"fit": render("flashcards/stats/fit.html", **self._describe_fit(visit))}}
        return None

    def _keep(self, visit: Visit, aim: float) -> Mapping[str, Any]:
        """Store a desired retention; the texts about it are rendered and the charts drawn again."""
        self.exercise.reviews.store.preferences.change(visit.profile.id, desired_retention=aim)
        values = self._compute_workload(visit, aim)
        parts = {
            "recall": render(
                "flashcards/stats/recall.html", **self._recall(self._read_history(visit)), **values
            ),
            "workload": render("flashcards/stats/workload.html", **values),
        }
        return {"parts": parts, "say": f"Saved: you aim at {format_percent(aim)}.", "then": "draw"}

    def _recall(self, history: CardHistory) -> dict[str, Any]:
        """Return the recall of the last weeks, if enough cards came back to mean something."""
        recall = recall_lately(history)
        asked = recall.trials if recall else 0
        return {
            "recall": recall if asked >= CHARTS_FROM else None,
            "asked": asked,
            "recall_from": CHARTS_FROM,
        }

    def _read_history(self, visit: Visit) -> CardHistory:
        reviews = self.exercise.reviews
        snapshot = reviews.read_snapshot(visit.profile.id, now=visit.now)
        known = reviews.decks.by_id
        return CardHistory(
            reviews=tuple(reviews.store.cards.history(visit.profile.id)),
            memories={id: memory for id, memory in snapshot.log.memories.items() if id in known},
            due_dates=snapshot.list_due_dates(),
            scheduling=snapshot.scheduling,
            now=visit.now,
            day_of=visit.days.day,
        )

    def _select_part(self, history: CardHistory, scope: str) -> tuple[CardHistory, str]:
        """Select the cards of a scope such as `deck:qlora` and the scope's name in charts; else all cards."""
        kind, _, chosen = scope.partition(":")
        decks = self.exercise.reviews.decks
        if kind == "deck" and chosen in decks.titles:
            return history.select(
                c.id for c in decks.cards if c.deck == chosen
            ), f"deck {decks.titles[chosen]}"
        if kind == "concept" and chosen in self.exercise.concepts.by_id:
            cards = (card.id for card in decks.list_about((chosen,)))
            return history.select(cards), f"concept {self.exercise.concepts.name(chosen)}"
        return history, "all cards"

    def _list_scopes(self, history: CardHistory) -> list[tuple[str, list[tuple[str, str]]]]:
        """List the decks and concepts that have a rating."""
        decks = self.exercise.reviews.decks
        seen = [decks.by_id[card] for card in history.memories]
        titles = {card.deck for card in seen}
        about = {concept for card in seen for concept in card.concepts}
        of_map = self.exercise.concepts.by_id.values()
        return [
            ("Deck", [(f"deck:{deck}", title) for deck, title in decks.titles.items() if deck in titles]),
            ("Concept", [(f"concept:{c.id}", c.name) for c in of_map if c.id in about]),
        ]

    def _compute_workload(self, visit: Visit, desired_retention: float) -> dict[str, Any]:
        scheduling = self.exercise.reviews.read_scheduling(visit.profile.id)
        plan = _read_plan(visit)
        now = simulate_workload(plan, replace(scheduling, desired_retention=desired_retention))
        return {
            "now": now,
            "usual": simulate_workload(plan, scheduling),
            "minutes": now.reviews_a_day * self.exercise.estimate_seconds_each(visit) / 60,
            "plan": plan,
            "aim": desired_retention,
            "percent": format_percent,
            "whose": scheduling.whose,
            "rated": bool(self.exercise.reviews.store.cards.read_last_durations_ms(visit.profile.id)),
        }

    def _describe_fit(self, visit: Visit) -> dict[str, Any]:
        state = self.exercise.fitting.state(visit.profile.id)
        return {"fit": state, "measures": MEASURES, "needed": NEEDED, "number": _format_measure}


def plot_workload(plan: StudyPlan, scheduling: Scheduling) -> Plot:
    """Return the chart of ratings per day by desired retention."""
    found = [simulate_workload(plan, replace(scheduling, desired_retention=aim)) for aim in AIMS]
    least, most = found[AIMS.index(0.8)], found[AIMS.index(0.95)]
    more = most.reviews_a_day / least.reviews_a_day
    title = f"Remembering 95 % instead of 80 % takes {more:.1f} times as many ratings"
    return Plot(
        name="workload",
        title=title,
        subtitle=(
            f"Simulated: {plan.cards} cards, {plan.new_a_day} new ones per day, {plan.days} days, FSRS-6."
        ),
        header=("desired retention, %", "ratings per day", "busiest day", "ratings in all"),
        rows=tuple(
            (round(100 * w.desired_retention), w.reviews_a_day, w.busiest_day, w.reviews) for w in found
        ),
        alt=f"{title}. "
        + ", ".join(f"{format_percent(w.desired_retention)}: {w.reviews_a_day:.0f} per day" for w in found)
        + ".",
        drawing=Points(
            points=(),
            measured="",
            curves=(Curve(xs=AIMS, ys=tuple(w.reviews_a_day for w in found)),),
            computed=f"simulated learner whose memory follows FSRS-6 with {scheduling.whose} parameters",
            x_label="desired retention",
            y_label="ratings per day",
            x_ticks=tuple((aim, format_percent(aim)) for aim in AIMS),
            percent=False,
        ),
    )


def _read_plan(visit: Visit) -> StudyPlan:
    new_a_day = max(1, visit.preferences.new_cards_a_day)
    return StudyPlan(cards=SIMULATED_CARDS, new_a_day=new_a_day, days=SIMULATED_DAYS)


def _read_retention(event: Mapping[str, Any]) -> float:
    low, high = round(100 * RETENTION_LOW), round(100 * RETENTION_HIGH)
    written = form_event.read_field(event, "retention")
    return form_event.read_number(written, default=90, low=low, high=high) / 100


def _format_measure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
