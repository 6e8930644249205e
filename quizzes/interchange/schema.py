"""Question files in our own schema, as YAML or JSON."""

import json
from collections.abc import Iterable, Mapping

from quizzes.interchange.entry import QuestionEntry, QuestionReading
from study.content.yaml_reader import Problem, parse_content
from study.io.exchange import File, reject_item


def write_questions(topic: str, entries: Iterable[QuestionEntry]) -> str:
    """Format a question file as imports write it: JSON, which is valid YAML and loads much faster."""
    questions = [dict(entry.fields) for entry in entries]
    return json.dumps({"topic": topic, "questions": questions}, ensure_ascii=False, indent=1)


def read_schema(file: File) -> QuestionReading:
    """Read the questions of a file unchecked; the bank's reader validates their fields."""
    problems: list[Problem] = []
    found = parse_content(file.name, file.content, problems)
    entries = []
    if isinstance(found, dict) and isinstance(found.get("questions"), list):
        topic = str(found.get("topic") or file.stem)
        for question in found["questions"]:
            line = getattr(question, "line", 0)
            if isinstance(question, Mapping):
                entries.append(QuestionEntry(topic=topic, fields=question, line=line))
            else:
                problems.append(Problem(file=file.name, line=line, item="question", text="must be a mapping"))
    elif not problems:
        text = "needs `topic:` and a list `questions:`"
        problems.append(Problem(file=file.name, line=1, item="topic", text=text))
    rejected = [reject_item(problem.item, str(problem)) for problem in problems]
    return QuestionReading(entries=tuple(entries), rejected=tuple(rejected))
