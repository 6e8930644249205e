"""The app imports Gradio without the stub files that it writes for editors."""

import subprocess
import sys

from study.base.settings import ROOT

IMPORT = """
import ast, sys
from study.web.stub_files import disable_stub_writing

parsed = []
parse = ast.parse
ast.parse = lambda source, *rest, **named: parsed.append(source) or parse(source, *rest, **named)
{first}
import gradio
import gradio.component_meta
assert gradio.Textbox(label="x").get_config()["label"] == "x"
assert hasattr(gradio.Textbox, "submit")
print(len(parsed), len(sys.meta_path))
"""


def imported(first: str) -> list[int]:
    """How many sources were parsed meanwhile, and how many finders are left."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT.format(first=first)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


def test_no_components_source_is_parsed_and_the_finder_is_gone_afterwards() -> None:
    parsed, finders = imported("disable_stub_writing()\ndisable_stub_writing()")
    usually, finders_without = imported("")
    assert parsed < 10 < usually  # says so when a new version of Gradio writes no stubs by itself
    assert finders == finders_without
