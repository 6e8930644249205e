"""The reader of each file format, for uploads and for files in the data folder."""

from quizzes.interchange.entry import QuestionReading
from quizzes.interchange.gift import is_gift, read_gift
from quizzes.interchange.moodle_xml import read_moodle_xml
from quizzes.interchange.schema import read_schema
from quizzes.interchange.table import is_table, read_table
from study.base.errors import LearnerError
from study.base.import_limits import check_items, check_size
from study.io.exchange import File

ENDINGS = ("xml", "gift", "txt", "csv", "tsv", "yaml", "yml", "json")
READABLE = (
    "Moodle XML (.xml), GIFT (.gift, .txt), tables (.csv), and questions in our own form (.yaml, .json)"
)


def read_questions(file: File) -> QuestionReading:
    """Read the questions of a file. Raises LearnerError when it is too large, or none can be read."""
    check_size(file.name, len(file.content))
    reading = _read_file(file)
    check_items(file.name, len(reading.entries) + len(reading.rejected))
    return reading


def _read_file(file: File) -> QuestionReading:
    match file.extension:
        case "xml":
            return read_moodle_xml(file)
        case "gift" | "txt":
            return read_gift(file)
        case "csv" | "tsv":
            return read_table(file)
        case "yaml" | "yml" | "json":
            return read_schema(file)
    raise LearnerError(
        f"{file.name} is not a kind of file that holds questions.", do_next=f"Choose {READABLE}."
    )


def holds_questions(file: File) -> bool:
    """Return whether a file holds questions; tables, texts and our own form may hold cards as well."""
    match file.extension:
        case "xml" | "gift":
            return True
        case "txt":
            return is_gift(file)
        case "csv" | "tsv":
            return is_table(file)
        case "yaml" | "yml" | "json":
            return file.has_key("questions", "topic")
    return False
