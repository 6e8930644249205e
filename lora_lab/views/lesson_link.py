"""The lab's side of a lesson's Try: a preset as an address, as readable settings and as a command."""

from collections.abc import Mapping
from typing import Any

from lora_lab.charts.run_view import SETTING_NAMES, list_setting_rows
from lora_lab.settings.run_form import build_address, format_command, format_value
from lora_lab.spec import parse_spec
from study.ports.learn import LabLink


def build_lab_link(preset: Mapping[str, Any]) -> LabLink:
    """Build a link to the Lab page with this preset filled in.

    Raises LearnerError when the preset is not a valid run.
    """
    spec = parse_spec(preset)
    words = dict(list_setting_rows(spec))
    names = {name: SETTING_NAMES.get(name, name.replace("_", " ")) for name in preset}
    return LabLink(
        address=build_address(spec),
        settings=tuple(
            (shown, words.get(shown, format_value(getattr(spec, name)))) for name, shown in names.items()
        ),
        command=format_command(spec),
    )
