"""The chart next to the slider: the simulated workload of each desired retention."""

from flashcards.scheduling.scheduler import Scheduling
from flashcards.scheduling.simulation import StudyPlan, simulate_workload
from study.base.confidence_intervals import format_percent
from study.plots.plot import Plot
from study.plots.points import Curve, Points

AIMS = (0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97)


def workload_figure(plan: StudyPlan, scheduling: Scheduling) -> Plot:
    """Return the chart of ratings per day by desired retention."""
    found = [
        simulate_workload(plan, Scheduling(parameters=scheduling.parameters, desired_retention=aim))
        for aim in AIMS
    ]
    least, most = found[AIMS.index(0.8)], found[AIMS.index(0.95)]
    more = most.reviews_a_day / least.reviews_a_day
    title = f"Remembering 95 % instead of 80 % takes {more:.1f} times as many ratings"
    return Plot(
        name="workload",
        title=title,
        subtitle=f"Simulated: {plan.cards} cards, {plan.new_a_day} new ones a day, {plan.days} days, FSRS-6.",
        header=("desired retention, %", "ratings per day", "busiest day", "ratings in all"),
        rows=tuple(
            (round(100 * w.desired_retention), w.reviews_a_day, w.busiest_day, w.reviews) for w in found
        ),
        alt=f"{title}. "
        + ", ".join(f"{format_percent(w.desired_retention)}: {w.reviews_a_day:.0f} a day" for w in found)
        + ".",
        drawing=Points(
            points=(),
            measured="",
            curves=(Curve(xs=AIMS, ys=tuple(w.reviews_a_day for w in found)),),
            computed="simulated learner whose memory follows FSRS-6 with your parameters",
            x_label="desired retention",
            y_label="ratings per day",
            x_ticks=tuple((aim, format_percent(aim)) for aim in AIMS),
            percent=False,
        ),
    )
