"""What a search finds in the shared pages: concepts, figures, and pages with their settings."""

from collections.abc import Iterator

from study.content.concepts import concept_address
from study.content.glossary import read_glossary
from study.content.search import SearchEntry
from study.figures.figure import Figures
from study.ports.context import Context

SETTINGS = (
    ("Light or dark page", "/settings#look", "theme mode colours night"),
    ("Text size", "/settings#look", "font larger smaller zoom"),
    ("Projector view", "/settings#look", "classroom teacher large beamer"),
    ("Keyboard shortcuts", "/settings#studying", "keys"),
    ("New cards per day", "/settings#studying", "limit reviews session length"),
    ("Time zone and start of the day", "/settings#studying", "hour midnight"),
    ("Profiles: rename, switch, add, delete", "/settings", "name learner account user"),
    ("Backup: download and restore everything", "/io", "export import data"),
    ("Import cards and questions", "/io", "anki deck csv notes upload"),
)
PAGES = (
    ("Five-minute review", "/practise", "daily mixed"),
    ("Understand LoRA in five minutes", "/start", "introduction tour newcomer beginner"),
    ("Exam", "/quiz?mode=exam", "test timed"),
    ("Browse cards", "/browse", "list edit flag suspend own"),
)


def list_entries(context: Context, figures: Figures) -> Iterator[SearchEntry]:
    """List concepts, figures, pages and settings."""
    for concept in context.concepts.by_id.values():
        yield SearchEntry(
            kind="Concepts",
            title=concept.name,
            address=concept_address(concept.id),
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
    yield from _pages(context)
    for title, address, text in SETTINGS:
        yield SearchEntry(kind="Settings", title=title, address=address, text=text)


def _pages(context: Context) -> Iterator[SearchEntry]:
    listed = {
        path: title for place in context.places for title, path in ((place.title, place.path), *place.pages)
    }
    for path, title in listed.items():
        yield SearchEntry(kind="Pages", title=title, address=path)
    for title, address, text in PAGES:
        yield SearchEntry(kind="Pages", title=title, address=address, text=text)
