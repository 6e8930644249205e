"""Questions to the command line and to its contracts."""

import pytest

from lora_lab.__main__ import main


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments]) == 0
    return capsys.readouterr().out
