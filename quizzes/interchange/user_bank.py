"""The app's questions plus the learner's own; a file that can't be used is reported."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from quizzes.bank.bank import Bank, load_bank, read_question
from quizzes.families.family import QuestionFamily
from quizzes.interchange.entry import QuestionEntry, QuestionReading, assign_ids, complete_fields
from quizzes.interchange.formats import ENDINGS, read_questions
from quizzes.kinds.question import Question
from study.base.import_limits import ID_CHARACTERS, list_length_problems
from study.content.concepts import ConceptMap
from study.content.user_files import (
    Collection,
    LiveContent,
    OwnItems,
    current,
    derive_key,
    find_key_of_title,
    list_own_files,
)
from study.content.yaml_reader import Fields, LocatedMapping, Problem
from study.io.exchange import read_user_file
from study.text.markup import find_formula_problems_in

OPTIONAL = ("keep", "feedback", "hint")


class LiveBank(LiveContent[Bank], Bank):
    """The questions as the files are now."""

    questions: tuple[Question, ...] = current("questions")
    topics: Mapping[str, str] = current("topics")
    by_id: Mapping[str, Question] = current("by_id")

    def __init__(self, concepts: ConceptMap, folder: Path) -> None:
        app = load_bank(concepts)  # raises on any problem in the app's own questions
        super().__init__(app, partial(read_own_questions, app, concepts, folder), folder)

    @property
    def families(self) -> Mapping[str, QuestionFamily]:
        """The app's families; the learner's files can't add any."""
        return self.app.families


def read_own_questions(app: Bank, concepts: ConceptMap, folder: Path) -> Collection[Bank]:
    """Read the learner's folder of questions and merge it with the app's bank."""
    own = OwnItems[Question]("question", taken=app.by_id)
    topics = dict(app.topics)
    for path in list_own_files(folder, endings=ENDINGS):
        problems: list[str] = []
        reading = read_user_file(path, read_questions, QuestionReading(), problems)
        title = reading.entries[0].topic if reading.entries else ""
        key = find_key_of_title(title, app.topics, otherwise=derive_key(path))
        questions = list(_read_questions(assign_ids(reading.entries), key, path.name, concepts, problems))
        own.add(path, questions, problems)
        if reading.entries:
            topics.setdefault(key, title)
    return own.collect(Bank((*app.questions, *own.by_id.values()), topics, app.families))


def check_entry(entry: QuestionEntry, concepts: ConceptMap) -> tuple[QuestionEntry, str]:
    """Return the entry as it may be kept, and its problems. Unknown concepts are left out."""
    problems: list[str] = []
    known = [concept for concept in entry.texts("concepts") if concept in concepts.by_id]
    whole = complete_fields({**entry.fields, "concepts": known})
    entry = QuestionEntry(topic=entry.topic, fields=whole, line=entry.line)
    if len(entry.id) > ID_CHARACTERS:
        problems.append(f"its id has {len(entry.id)} characters; {ID_CHARACTERS} are the limit")
    if lengths := list_length_problems([("topic", entry.topic), *_list_texts(entry.fields)]):
        return entry, "; ".join(lengths)
    questions = list(_read_questions([entry], "topic", "", concepts, problems))
    reasons = [problem.partition(": ")[2] or problem for problem in problems]
    return entry, "; ".join((*reasons, *dict.fromkeys(find_formula_problems_in(questions))))


def _list_texts(value: object, name: str = "text") -> Iterator[tuple[str, str]]:
    """Yield every text of a question's fields, with the name of its field."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inside in value.items():
            yield from _list_texts(inside, str(key))
    elif isinstance(value, list | tuple):
        for inside in value:
            yield from _list_texts(inside, name)


def _read_questions(
    entries: Iterable[QuestionEntry], key: str, file: str, concepts: ConceptMap, problems: list[str]
) -> Iterator[Question]:
    for entry in entries:
        found: list[Problem] = []
        placed = LocatedMapping(complete_fields(entry.fields), line=entry.line)
        fields = Fields(placed, file=file, kind="question", problems=found, optional=OPTIONAL)
        try:
            question = read_question(fields, key, concepts)
        except (TypeError, AttributeError, StopIteration) as error:  # a field's type is too wrong to go on
            fields.note(f"can't be read ({error})")
        if found:
            problems.extend(str(problem) for problem in found)
        else:
            yield question
