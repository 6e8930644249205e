"""Batches as JSON lines: each line has its answer, and a bad one spoils no other."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lora_lab.__main__ import main

ROOT = Path(__file__).parents[3]


def answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, *lines: str
) -> tuple[int, list[dict[str, Any]]]:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    status = main([command, "--jsonl"])
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("command", ["count", "memory"])
def test_bad_lines_answer_with_an_error_and_never_stop_the_batch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    good = '{"id": "g", "model": "gpt2"}'
    bad = [
        "?",
        "[]",
        "null",
        "{",
        '{"model": "gpt5"}',
        "[" * 100_000,
        "1" * 5000,
        '{"r": ' + "9" * 4299 + "}",
    ]
    status, found = answers(capsys, monkeypatch, command, *[line for one in bad for line in (one, good)])
    assert status == 1
    assert len(found) == 2 * len(bad)
    assert all("error" in answer for answer in found[::2])
    assert all(answer["id"] == "g" and "error" not in answer for answer in found[1::2])


def test_no_claim_stops_the_batch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "trainable params: 294,912 || all params: 124,734,720"
    texts = [
        "gpt2 LoraConfig(r=8) trainable params: 1,234,567K || all params: 5M",
        f"gpt2 LoraConfig(r=8) trainable params: {'1' * 5000}K",
        f"gpt2 LoraConfig(r=8) {line} || trainable%: 1e-9999999999",
        f"gpt2\nlora_r: ²\n{line}",
        f"gpt2\nlora_r: {'1' * 5000}\n{line}",
        f"gpt2 LoraConfig(r=args.rank) --rank {'1' * 5000} {line}",
        f"gpt2 LoraConfig(r=8, x={'1+' * 500}1) {line}",
        f"gpt2 LoraConfig(r=8, x={'1+' * 5000}1) {line}",
        f"gpt2 LoraConfig(r=8, x={'-' * 50_000}1) {line}",
        f'gpt2 LoraConfig(r=8, x="(") + g(")") {line}',
        f"gpt2 LoraConfig(r=8, x='\ud800') {line}",
        f"gpt2 LoraConfig(r=8, target_modules='{'(' * 5000}') {line}",
        f"gpt2 LoraConfig(r=8, target_modules='a{{99999999999}}') {line}",
        f'gpt2 {{"a":{"[" * 20_000} LoraConfig(r=8) {line}',
    ]
    numbers = ["²", float("nan"), float("inf"), "1" * 5000, 1e300]
    good = {"model": "gpt2", "lora": {"r": 8}, "printed": {"trainable": 294_912}}
    bad = [*({"text": text} for text in texts), *(good | {"printed": {"trainable": one}} for one in numbers)]
    lines = [json.dumps(line) for one in bad for line in (one, good)]
    _, found = answers(capsys, monkeypatch, "claim", *lines)
    assert len(found) == len(lines)
    assert all(answer["verdict"] == "possible" for answer in found[1::2])
    assert all("must be a whole number" in answer["error"] for answer in found[2 * len(texts) :: 2])


def test_a_batch_without_errors_ends_well_even_where_a_case_is_unsupported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        '{"id": 1, "model": "llama-7b"}',
        "",
        "  ",
        '{"id": 2, "model": "gpt2", "gpus": 8}',
    ]
    status, found = answers(capsys, monkeypatch, "memory", *lines)
    assert status == 0
    assert [answer["id"] for answer in found] == [1, 2]
    assert found[1]["unsupported"] is True


def test_bytes_that_are_no_text_spoil_their_own_line_only() -> None:
    good = b'{"id": "caf\xc3\xa9", "model": "gpt2"}\n'
    done = subprocess.run(
        [sys.executable, "-m", "lora_lab", "count", "--jsonl"],
        input=good + b'{"id": "caf\xe9", "model": "gpt2"}\n' + good,
        capture_output=True,
        cwd=ROOT,
        timeout=60,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert ["error" in answer for answer in found] == [False, True, False]
    assert found[0] == found[2]
    assert found[0]["id"] == "café"
