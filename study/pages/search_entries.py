"""What a search finds in the shared pages: concepts, figures, and pages with their settings."""

from collections.abc import Iterator

from study.content.concepts import build_concept_address
from study.content.glossary import read_glossary
from study.content.search import SearchEntry
from study.figures.figure import Figures
from study.ports.context import Context

SETTINGS = (
    ("Light or dark page", "/settings#look", "theme mode colours night same as the system"),
    ("Text size", "/settings#look", "font letters small usual larger zoom"),
    ("Projector view", "/settings#look", "classroom teacher large beamer type no names"),
    ("Keyboard shortcuts", "/settings#studying", "keys single-key"),
    ("New cards per day", "/settings#studying", "limit"),
    ("Reviews per day, at most", "/settings#studying", "limit due"),
    ("Order of reviews", "/settings#studying", "longest due first most likely forgotten mixed"),
    ("Minutes that a card you are learning may come early", "/settings#studying", "learn ahead"),
    ("Minutes per session", "/settings#studying", "length limit daily goal"),
    ("Time zone and start of the day", "/settings#studying", "hour at which a day begins midnight"),
    ("Desired retention: how much to remember", "/progress#memory", "forgetting FSRS workload"),
    ("Profiles: your name, rename, switch, add a new one, delete", "/settings", "learner account user"),
    ("Backup: download and restore everything", "/io", "export import data"),
    ("Import cards and questions", "/io", "anki deck csv notes upload"),
)
OTHER_DEVICES = (
    "Continue on another device",
    "/settings#devices",
    "carry on second phone QR code link remove lost phrase",
)
"""A setting of a server for learners."""

PAGES = (
    ("Daily review", "/practise", "five-minute mixed"),
    ("Understand LoRA in five minutes", "/start", "introduction tour newcomer beginner"),
    ("Exam", "/quiz?mode=exam", "test timed"),
    ("Your progress: mastery and statistics", "/progress", "recall charts calibration level misconceptions"),
    ("Browse cards", "/browse", "list edit flag suspend own"),
)


def list_entries(context: Context, figures: Figures) -> Iterator[SearchEntry]:
    """List concepts, figures, pages and settings."""
    for concept in context.concepts.by_id.values():
        yield SearchEntry(
            kind="Concepts",
            title=concept.name,
            address=build_concept_address(concept.id),
            text=f"{concept.summary} {' '.join(concept.terms)}",
        )
    for figure in figures.values():
        yield SearchEntry(kind="Figures", title=figure.title, address=f"/figures?figure={figure.id}")
    for word in read_glossary():
        if word.concept:  # found as its concept, among whose terms it is
            continue
        yield SearchEntry(
            kind="Words",
            title=word.term,
            address=f"/reference#{word.anchor}",
            about=word.means,
            text=" ".join(word.also),
        )
    yield from _list_pages(context)
    for title, address, text in (*SETTINGS, *([OTHER_DEVICES] if context.shared else [])):
        yield SearchEntry(kind="Settings", title=title, address=address, text=text)


def _list_pages(context: Context) -> Iterator[SearchEntry]:
    listed = {
        path: title for place in context.places for title, path in ((place.title, place.path), *place.pages)
    }
    for path, title in listed.items():
        yield SearchEntry(kind="Pages", title=title, address=path)
    for title, address, text in PAGES:
        yield SearchEntry(kind="Pages", title=title, address=address, text=text)
