"""Import and export of questions: the dry run of an import, and the files of an export."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from quizzes.interchange.entry import (
    QuestionEntry,
    QuestionReading,
    WrittenFile,
    assign_ids,
    to_entries,
    to_entry,
)
from quizzes.interchange.formats import READABLE, holds_questions, read_questions
from quizzes.interchange.gift import write_gift
from quizzes.interchange.jupyterquiz import write_jupyterquiz
from quizzes.interchange.moodle_xml import write_moodle_xml
from quizzes.interchange.schema import read_schema, write_questions
from quizzes.interchange.table import write_table
from quizzes.interchange.user_bank import LiveBank, check_entry
from study.base.settings import Settings
from study.content.concepts import ConceptMap
from study.content.user_files import IMPORTED, OwnFilesCheck, as_bytes, find_key_of_title, read_own_file
from study.io.exchange import File, Format, ImportEntry, ImportGroup, ImportPlan, reject_item, shorten
from study.io.planning import with_progress
from study.store import Store

NAME = "lora-study-questions"
WRITERS = {
    "moodle-xml": (write_moodle_xml, "xml"),
    "gift": (write_gift, "gift"),
    "csv": (write_table, "csv"),
    "jupyterquiz": (write_jupyterquiz, "json"),
}


@dataclass(frozen=True, kw_only=True)
class QuestionExchange:
    """The import and export of questions; implements `study.io.exchange.Exchange`."""

    bank: LiveBank
    concepts: ConceptMap
    home: Path
    title: str = "Questions"
    readable: str = READABLE
    formats: Sequence[Format] = (
        Format(name="moodle-xml", label="Moodle XML", hint="Keeps most; for Moodle's question bank"),
        Format(name="gift", label="GIFT", hint="Moodle's text format"),
        Format(name="csv", label="a table", hint="CSV, one question per row"),
        Format(name="jupyterquiz", label="jupyterquiz", hint="JSON for a quiz inside a notebook"),
    )

    def check_own_files(self) -> OwnFilesCheck:
        """Say what is wrong with the files in the learner's folder of questions."""
        return self.bank.collection

    def reads(self, file: File) -> bool:
        return holds_questions(file)

    def export(self, profile_id: str, name: str, *, now: datetime) -> list[File]:
        """Export all written questions, the app's and the learner's own."""
        del profile_id, now
        _, ending = WRITERS[name]
        suffix = f"{name}.{ending}" if name == "jupyterquiz" else ending
        return [File(name=f"{NAME}.{suffix}", content=self.write_format(name).text.encode())]

    def write_format(self, name: str) -> WrittenFile:
        """Write the text of one format, and the questions that it has no form for."""
        write, _ = WRITERS[name]
        return write(to_entries(self.bank))

    def plan(self, profile_id: str, file: File, *, now: datetime) -> ImportPlan:
        """Plan the import of a file: the verdict on each question."""
        del profile_id, now
        reading = read_questions(file)
        judged = self._judge_entries(reading)
        wanted = [entry for entry, result in judged if result.verdict in ("new", "changed")]
        results = (*(result for _, result in judged), *reading.rejected)
        return ImportPlan(
            groups=(ImportGroup(title="Questions", entries=results),),
            notes=reading.notes,
            files=self._merge_files(wanted),
        )

    def _judge_entries(self, reading: QuestionReading) -> list[tuple[QuestionEntry, ImportEntry]]:
        bank = self.bank.collection.whole
        seen: set[str] = set()
        judged = []
        for read in with_progress(assign_ids(reading.entries)):
            entry, problem = check_entry(read, self.concepts)
            question = bank.by_id.get(entry.id)
            here = to_entry(question, bank.topics[question.topic]) if question else None
            result = self._judge_entry(entry, here, problem)
            if entry.id in seen:
                result = reject_item(result.item, "the file has this question twice")
            seen.add(entry.id)
            judged.append((entry, result))
        return judged

    def _judge_entry(self, entry: QuestionEntry, here: QuestionEntry | None, problem: str) -> ImportEntry:
        item = shorten(entry.text("stem"))
        if here is not None and entry.collect_content() == here.collect_content():
            return ImportEntry(verdict="same", item=item)
        if problem:
            return reject_item(item, problem)
        if here is None:
            return ImportEntry(verdict="new", item=item, why=f"in {entry.topic}")
        if entry.id in self.bank.app.by_id:
            return reject_item(
                item, f"{entry.id} is a question of the app: give yours another id to keep both"
            )
        if file := self.bank.collection.by_hand.get(entry.id):
            return reject_item(item, f"it is in your own file {file}: change it there")
        return ImportEntry(verdict="changed", item=item)

    def _merge_files(self, entries: Iterable[QuestionEntry]) -> dict[str, str]:
        """Return the imported topics with these questions merged in."""
        by_topic: dict[str, list[QuestionEntry]] = {}
        for entry in entries:
            here = self.bank.by_id.get(entry.id)  # it stays in its topic
            key = here.topic if here else find_key_of_title(entry.topic, self.bank.topics)
            by_topic.setdefault(key, []).append(entry)
        files = {}
        for key, fresh in by_topic.items():
            name = f"questions/{key}{IMPORTED}"
            before = read_own_file(self.home, name)
            kept = read_schema(File(name=name, content=as_bytes(before))).entries if before else ()
            title = kept[0].topic if kept else self.bank.topics.get(key, fresh[0].topic)
            files[name] = write_questions(title, {entry.id: entry for entry in (*kept, *fresh)}.values())
        return files


def build_question_exchange(
    home: Path, concepts: ConceptMap, bank: LiveBank | None = None
) -> QuestionExchange:
    """Build the exchange of a data folder; the bank is read here unless it is given."""
    bank = bank or LiveBank(concepts, home / "questions")
    return QuestionExchange(bank=bank, concepts=concepts, home=home)


def open_exchange(settings: Settings, store: Store, concepts: ConceptMap) -> QuestionExchange:
    """Build it in the process that reads files."""
    return build_question_exchange(settings.home, concepts)
