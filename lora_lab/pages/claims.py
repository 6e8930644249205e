"""The Claims page: paste a tutorial's configuration and its printed line; can the line be true?"""

from typing import Any

import gradio as gr
from markupsafe import Markup

from lora_lab.claims.accountings import AccountingReading, percent_fits
from lora_lab.claims.claim import QUANTIZATIONS
from lora_lab.claims.service import LONGEST_TEXT, CheckedClaim, ClaimService, read_examples
from lora_lab.pages import form_fields
from lora_lab.pages.shared_parts import render_problem
from lora_lab.parameters.adapter_config import (
    ADAPTER_VARIANTS,
    BIASES,
    HEADS,
    PLAIN_TASKS,
    AdapterSetting,
)
from lora_lab.parameters.shapes import load_catalogue
from lora_lab.parameters.target_matching import find_default_targets
from lora_lab.settings.urls import CLAIMS, LAB
from lora_lab.views.tabs import render_tabs
from study.base.errors import LearnerError
from study.base.html import NO_HTML
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply

SETTINGS_SHOWN = 12
FORM = ("model", "rank", "targets", "variant", "task_type", "modules_to_save", "bias", "quantisation", "line")

FORMS = ("text", "form")
NO_PROBLEM = {f"{form}-problem": NO_HTML for form in FORMS}
"""The places for errors, beside the fields they are about."""


class ClaimsPage:
    """Handlers of the page; checked claims are not stored."""

    place = frame.IslandPlace(elem_id="claims", title="Claims", path=CLAIMS, under=LAB, look="lab")

    def __init__(self, service: ClaimService) -> None:
        self._service = service

    def load(self, request: gr.Request) -> Markup:
        """Render the page; an example that the address names is checked already."""
        query = form_fields.read_page_query(request)
        wanted = query.get("example")
        chosen = next((example for example in read_examples() if example.id == wanted), None)
        verdict = "" if chosen is None else _render_verdict(self._service.check_text(chosen.text))
        return render(
            "lora_lab/claims/claims.html",
            tabs=render_tabs(CLAIMS, "Claims", query),
            examples=read_examples(),
            text="" if chosen is None else chosen.text,
            verdict=verdict,
            models=load_catalogue(),
            variants=ADAPTER_VARIANTS,
            biases=BIASES,
            tasks=(*PLAIN_TASKS, *HEADS),
            quantizations=QUANTIZATIONS,
        )

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """Check the pasted text or the form; an unreadable claim removes the earlier verdict."""
        try:
            checked = self._check(event)
        except LearnerError as error:
            if event.get("act") not in FORMS:
                raise
            return {
                "parts": NO_PROBLEM | {"verdict": NO_HTML, f"{event['act']}-problem": render_problem(error)}
            }
        return {
            "parts": NO_PROBLEM | {"verdict": _render_verdict(checked)},
            "say": f"{checked.verdict.answer}. {checked.verdict.why}",
            "focus": "#verdict",
        }

    def _check(self, event: dict[str, Any]) -> CheckedClaim:
        match event.get("act"):
            case "text":
                return self._service.check_text(form_event.read_field(event, "text", limit=LONGEST_TEXT))
            case "form":
                return self._service.check_form(
                    {name: form_event.read_field(event, name, limit=LONGEST_TEXT) for name in FORM}
                )
            case _:
                raise form_event.build_unknown_act_error(event)


def _render_verdict(checked: CheckedClaim) -> Markup:
    verdict = checked.verdict
    return render(
        "lora_lab/claims/verdict.html",
        verdict=verdict,
        read=_describe_claim(checked),
        unread=_describe_unread(checked),
        rows=_list_rows(checked),
        settings=verdict.explanations[:SETTINGS_SHOWN],
        more=verdict.explanations[SETTINGS_SHOWN:],
    )


def _describe_claim(checked: CheckedClaim) -> list[tuple[str, str]]:
    """Return the parsed claim, in a learner's words."""
    claim, model = checked.claim, checked.read["model"]
    setting = claim.setting
    built_as = f" built for {model['kind']}" if model.get("kind") else ""
    return [
        ("Model", f"{model['name']}{built_as}, {checked.verdict.base_parameters:,} parameters"),
        ("Rank", _format_rank(checked)),
        ("Targets", _format_targets(checked)),
        *_list_narrowed(setting),
        ("Variant", ", ".join(filter(None, (setting.variant, setting.task_type)))),
        ("Base in", "16 or 32 bit" if claim.quantization == "none" else claim.quantization),
    ]


def _describe_unread(checked: CheckedClaim) -> str:
    """Say what was not found in a pasted text, and which words are read; empty where all was."""
    missing, other_words = [], ""
    if checked.claim.is_rank_open:
        missing.append("a rank, such as r=16 or rank 16")
    if not checked.claim.targets_are_known:
        missing.append("target modules by name, such as q_proj and v_proj")
        other_words = "Other words for them, such as “the query matrices”, are not read."
    if not missing or not checked.is_pasted:
        return ""
    return f"Not found in the text: {', or '.join(missing)}. {other_words}".rstrip()


def _format_rank(checked: CheckedClaim) -> str:
    claim = checked.claim
    if claim.setting.variant == "ia3":
        return "IA3 has none"
    if claim.rank is None:
        return "not stated"
    return f"{claim.rank} (PEFT's default)" if checked.read["lora"]["r"] is None else str(claim.rank)


def _format_targets(checked: CheckedClaim) -> str:
    claim = checked.claim
    targets = claim.setting.targets
    if not claim.targets_are_known:
        return "not stated"
    layout = checked.verdict.layout or claim.shape.modules
    if targets is None and find_default_targets(layout, claim.setting) != ():
        return "PEFT's default"
    if not targets:
        return "no layers"
    return targets if isinstance(targets, str) else ", ".join(targets)


def _list_narrowed(setting: AdapterSetting) -> list[tuple[str, str]]:
    """Return what is adapted beside the targets' layers, and in which layers."""
    rows = [("Parameters", ", ".join(setting.parameters))] if setting.parameters else []
    for name, tokens in setting.token_rows:
        rows.append(("Rows of tokens", f"{len(tokens):,} of {name or 'the input embedding'}"))
    if setting.layers_pattern:
        numbers = ", ".join(map(str, setting.layers))
        rows.append(("In layers", f"{numbers} of {' or '.join(setting.layers_pattern)}"))
    return rows


def _list_rows(checked: CheckedClaim) -> list[tuple[str, str, str, bool | None]]:
    """Return the printed and the expected number of each row, and whether they agree.

    What is expected follows the accounting that explains most of the line.
    """
    printed, failing = checked.claim.printed, checked.verdict.failing
    trainable, total = checked.verdict.readings or (None, None)
    known = [
        ("trainable", printed.trainable, trainable, "trainable params"),
        ("all", printed.total, total, "all params"),
    ]
    rows: list[tuple[str, str, str, bool | None]] = []
    for name, shown, reading, label in known:
        fits = None if shown is None else name not in failing
        rows.append((label, _format_number(shown), _format_reading(reading), fits))
    counts = _find_counts_of_share(checked)
    share = "—" if counts is None else f"{100 * counts[0] / counts[1]:.4f}"
    return [*rows, ("trainable%", printed.percent or "—", share, _share_fits(checked))]


def _format_reading(reading: AccountingReading | None) -> str:
    if reading is None:
        return "—"
    if reading.low == reading.high:
        return f"{reading.low:,}"
    return f"{reading.low:,} to {reading.high:,}" if reading.is_checked else "not checked"


def _find_counts_of_share(checked: CheckedClaim) -> tuple[int, int] | None:
    """Return the two expected counts, None without them. A total that may be any of a range is as printed."""
    if checked.verdict.readings is None:
        return None
    trainable, total = checked.verdict.readings
    whole = total.low if total.low == total.high else checked.claim.printed.total
    return (trainable.low, whole) if whole else None


def _share_fits(checked: CheckedClaim) -> bool | None:
    """Return whether the printed share is the expected one; None when there is none.

    A share of two wrong numbers agrees with them and is still wrong.
    """
    printed, failing = checked.claim.printed, checked.verdict.failing
    if printed.percent is None:
        return None
    counts = _find_counts_of_share(checked)
    if "pct" in failing or not failing or counts is None:
        return "pct" not in failing
    return percent_fits(printed.percent, *counts)


def _format_number(number: int | None) -> str:
    return "—" if number is None else f"{number:,}"
