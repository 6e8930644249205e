"""Claim service of the page: texts and forms in, verdicts out, one at a time."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_lab.claims.claim import Claim
from lora_lab.claims.contract import build_claim, judge_claim, read_and_judge
from lora_lab.claims.printed_line import find_printed_line
from lora_lab.claims.verdict import ClaimVerdict
from lora_lab.engine.shape_reader import ShapeReader
from lora_lab.parameters.adapter_config import UnsupportedCase
from lora_lab.parameters.json_fields import UNKNOWN, parse_digits
from lora_lab.parameters.target_syntax import as_targets, split_names
from study.base.errors import LearnerError
from study.base.yaml_loader import load_yaml

EXAMPLES_FILE = Path(__file__).with_name("examples.yaml")
LONGEST_TEXT = 60_000
"""The longest pasted text in characters; a whole notebook is mostly outputs."""


@dataclass(frozen=True, kw_only=True)
class CheckedClaim:
    claim: Claim
    read: Mapping[str, Any]
    """The record of what was stated."""

    verdict: ClaimVerdict
    is_pasted: bool = False
    """Whether it was read from a text, which may state more than was read."""


@dataclass(frozen=True, kw_only=True)
class ClaimExample:
    id: str
    name: str
    text: str


def read_examples() -> tuple[ClaimExample, ...]:
    return tuple(ClaimExample(**row) for row in load_yaml(EXAMPLES_FILE.read_text("utf-8")))


class ClaimService:
    """The service that checks claims; a configuration outside the catalogue starts the reader's worker."""

    def __init__(self, reader: ShapeReader) -> None:
        self._reader = reader

    def check_text(self, text: str) -> CheckedClaim:
        """Check a pasted text.

        Raises LearnerError when it has no claim, or when the model or the setting can't be read.
        """
        if len(text) > LONGEST_TEXT:
            raise LearnerError(
                f"That is {len(text):,} characters; {LONGEST_TEXT:,} are read at most.",
                do_next="Paste the configuration and the printed line only.",
            )
        with _supported():
            record, claim, verdict = read_and_judge(text, self._reader)
            return CheckedClaim(claim=claim, read=record, verdict=verdict, is_pasted=True)

    def check_form(self, form: Mapping[str, str]) -> CheckedClaim:
        """Check the fields of the form. Raises LearnerError when they can't be read."""
        record = record_of_form(form)
        claim = build_claim(record, self._reader)
        with _supported():
            return CheckedClaim(claim=claim, read=record, verdict=judge_claim(claim))


@contextmanager
def _supported() -> Iterator[None]:
    """Tell of an unsupported case as of any other claim that can't be read."""
    try:
        yield
    except UnsupportedCase as case:
        raise LearnerError(f"This can't be judged: {case}.", do_next="Try another setting.") from case


def record_of_form(form: Mapping[str, str]) -> dict[str, Any]:
    """Parse the form's fields into a record. Raises LearnerError when its line has no number."""
    line = find_printed_line(form.get("line", ""))
    if line is None:
        raise LearnerError(
            "The printed line is missing.",
            do_next="Paste it whole: trainable params, all params, trainable%.",
        )
    rank = parse_digits(form.get("rank", "").strip())
    targets = form.get("targets", "").strip()
    return {
        "model": {"name": form.get("model", "").strip()},
        "lora": {
            "r": UNKNOWN if rank is None else rank,
            "target_modules": as_targets(targets) if targets else UNKNOWN,
            "variant": form.get("variant") or "lora",
            "task_type": form.get("task_type") or None,
            "modules_to_save": split_names(form.get("modules_to_save")),
            "bias": form.get("bias") or "none",
        },
        "quantisation": form.get("quantisation") or "none",
        "printed": line.printed.to_record(),
    }
