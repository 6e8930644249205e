"""Questions to the command line and to its contracts."""

from typing import Any

import pytest

from lora_lab.__main__ import main
from lora_lab.cli import contracts
from lora_lab.engine.shape_reader import ShapeReader


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments]) == 0
    return capsys.readouterr().out


def counted(reader: ShapeReader, **record: Any) -> dict[str, Any]:
    return contracts.answer_record(record, contracts.count_answer, reader)


def weighed(reader: ShapeReader, **record: Any) -> dict[str, Any]:
    return contracts.answer_record(record, contracts.answer_memory, reader)
