"""Why a learner may believe an item: a source to look up, a number computed here, or both."""

from collections.abc import Iterable
from dataclasses import dataclass

from study.checks import Check, evaluate, holds, prints, read_checks
from study.content import Fields


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Where a claim comes from."""

    source: str
    checks: tuple[Check, ...]


def read_evidence(fields: Fields, *, printed: str, computed: bool = False) -> Evidence:
    """An item's source and checks; notes a claim with neither, and a check whose number no text shows.

    A `computed` item shows a number that is never written, so that it needs neither.
    """
    return evidence_of(fields, read_checks(fields), printed=printed, computed=computed)


def evidence_of(
    fields: Fields, checks: tuple[Check, ...], *, printed: str, computed: bool = False
) -> Evidence:
    """The same, for an item that needed its checks before its texts were known."""
    source = fields.text("source", default="")
    if not source and not checks and not computed:
        fields.note("no source and no check")
    for check in checks:
        if not prints(printed, check):
            fields.note(f"the check expects {check.expect:g}, but no text prints that number")
    return Evidence(source=source, checks=checks)


def broken_claims(items: Iterable[tuple[str, Evidence]]) -> list[str]:
    """One line for each claim that the computation does not bear out."""
    return [
        f"{item}: {check.call} is {evaluate(check):,}, the text says {check.expect:,}"
        for item, evidence in items
        for check in evidence.checks
        if not holds(check)
    ]
