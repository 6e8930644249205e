"""Files that a browser sends to the Lab, read in a process of their own and checked again here."""

from typing import Any

from lora_lab.data.datasets import Dataset, read_upload
from lora_lab.data.uploads import parse_stored
from lora_lab.runs.run_file import ExportedRun, parse_run_file
from lora_lab.spec import parse_spec
from study.base.errors import LearnerError
from study.io.separate_reading import read_apart


def read_upload_apart(name: str, content: bytes, *, profile_id: str) -> Dataset:
    """Return the data set of a file for a profile. Raises LearnerError that names every bad line."""
    return _parse_dataset(name, read_apart(read_upload, name, content, profile_id=profile_id))


def parse_run_file_apart(name: str, content: bytes, *, profile_id: str) -> ExportedRun:
    """Return the settings and data of a run file for a profile. Raises LearnerError on anything else."""
    found = read_apart(parse_run_file, name, content, profile_id=profile_id)
    return ExportedRun(spec=parse_spec(found["spec"]), dataset=_parse_dataset(name, found["dataset"]))


def _parse_dataset(name: str, found: dict[str, Any]) -> Dataset:
    dataset = parse_stored(found)
    if dataset is None:
        raise LearnerError(f"{name} did not come back whole.", do_next="Choose it again.")
    return dataset
