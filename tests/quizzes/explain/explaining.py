"""An explanation that is handed in, read to its end and looked at."""

from concurrent.futures import wait

from quizzes.explain.grading_queue import GradingQueue
from quizzes.pages.explain import ExplainPage
from study.ports.context import Visit
from study.store.logs.explains import ExplainAttempt
from tests.visits import build_event, opened, words

QUERY = "prompt=explain-lora"
# Of the four concepts: covered, contradicted, unsure (the key word and no claim), missing.
TEXT = "We say frozen & <b>bold</b>. We do not product. Some few things."


class Cards:
    """What was asked for, as flashcards would."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, visit: Visit, concepts: tuple[str, ...], *, because: str) -> int:
        assert because.startswith(("explain-", "own-"))
        self.asked.append(concepts)
        return len(concepts)


def finish(queue: GradingQueue) -> None:
    """Wait until every queued answer is graded."""
    with queue._lock:
        asked = list(queue._asked.values())
    wait(asked)


def end_thread(queue: GradingQueue) -> None:
    """Close the queue once its thread is through with all that it was given."""
    queue._thread.shutdown(wait=True)
    queue.close()


def act(page: ExplainPage, html: str, name: str, *, nth: int = 0, **changed: object) -> str:
    return page.act(build_event(html, name, nth=nth, **changed), opened("b1")).get("html", "")


def polled(page: ExplainPage, html: str) -> str:
    """What is shown once the grader's thread is through."""
    finish(page.exercise.room)
    if 'data-poll="' not in html:
        return html
    event = {
        "act": "poll",
        "prompt": "explain-lora",
        "attempt": html.split('data-attempt="')[1].split('"')[0],
    }
    return page.act(event, opened("b1"))["html"]


def explained(page: ExplainPage, text: str = TEXT) -> str:
    box = page.load(opened("b1", QUERY))
    return polled(page, act(page, box, "submit", fields={"answer": [text]}))


def newest(page: ExplainPage) -> ExplainAttempt:
    [profile] = page.context.store.profiles.all()
    return page.context.store.explains.attempts(profile.id)[0]


def idea(html: str, number: int) -> str:
    """What a person reads beside one concept."""
    return words(html.split(f'id="idea-{number}"')[1].split("</li>")[0].partition(">")[2])
