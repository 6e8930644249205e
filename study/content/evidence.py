"""Evidence for an item: a source to look up, a number computed here, or both."""

from collections.abc import Iterable
from dataclasses import dataclass

from study.base.checks import Check, Quantity, check_holds, evaluate, prints_number
from study.base.errors import LearnerError
from study.base.numbers import is_finite_number
from study.content.yaml_reader import Fields


def read_quantity(fields: Fields, *, besides: tuple[str, ...] = ()) -> Quantity | None:
    """Read a mapping that names a quantity; all other fields except `besides` are its arguments."""
    name = fields.text("quantity")
    arguments = fields.rest(besides=("quantity", *besides))
    return Quantity(quantity=name, arguments=arguments) if name else None


def read_checks(fields: Fields) -> tuple[Check, ...]:
    """Read an item's `check:`, one or a list of them; malformed ones are noted."""
    written = fields.raw("check")
    entries = written if isinstance(written, list) else [written] if written is not None else []
    return tuple(check for entry in entries if (check := _read_check(entry, fields)) is not None)


def _read_check(entry: object, fields: Fields) -> Check | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("quantity"), str):
        fields.note(f"a check needs a `quantity`, got {entry!r}")
        return None
    expect, tolerance = entry.get("expect"), entry.get("tolerance", 0)
    if not is_finite_number(expect) or not is_finite_number(tolerance) or tolerance < 0:
        fields.note(
            f"a check needs numbers as `expect` and `tolerance` (0 or more), got {expect!r} and {tolerance!r}"
        )
        return None
    arguments = {
        name: value for name, value in entry.items() if name not in ("quantity", "expect", "tolerance")
    }
    return Check(
        quantity=entry["quantity"], arguments=arguments, expect=float(expect), tolerance=float(tolerance)
    )


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The sources and checks of a claim."""

    source: str
    checks: tuple[Check, ...]


def read_evidence(
    fields: Fields, *, printed: str, computed: bool = False, checks: tuple[Check, ...] | None = None
) -> Evidence:
    """Read an item's source and checks; note an item without either, and a check whose number no text prints.

    A `computed` item shows a number that is never written, so it needs neither. `checks` are given where they
    were needed before the texts were known.
    """
    checks = read_checks(fields) if checks is None else checks
    source = fields.text("source", default="")
    if not source and not checks and not computed:
        fields.note("no source and no check")
    for check in checks:
        if not prints_number(printed, check):
            fields.note(f"the check expects {_as_printed(check.expect)}, but no text prints that number")
    return Evidence(source=source, checks=checks)


def check_claims(items: Iterable[tuple[str, Evidence]]) -> None:
    """Raise LearnerError with a line for each claim that differs from the computed value."""
    broken = [
        f"{item}: {check.call} is {_as_printed(evaluate(check))}, the text says {_as_printed(check.expect)}"
        for item, evidence in items
        for check in evidence.checks
        if not check_holds(check)
    ]
    if broken:
        raise LearnerError(
            "\n".join(broken) + "\n", do_next="Correct the number, or the arguments of the check."
        )


def _as_printed(number: float) -> str:
    """Return a number as texts print it: all digits, in groups of three, and no `.0`."""
    return f"{number:,.15g}"
