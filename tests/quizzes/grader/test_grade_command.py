"""`python -m quizzes grade` with the real model: the public contract, and what must not change a verdict."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from quizzes.grader.command import as_json
from quizzes.grader.grader_client import GraderClient
from quizzes.grader.labelled_answers import (
    NOISE,
    OTHER_WRITER,
    OWN_TRAINING,
    load_answers,
    load_own_prompts,
)
from quizzes.grader.metrics import JudgedAnswer, compute_report
from quizzes.grader.prompts import Prompt, load_prompts
from quizzes.grader.worker.examples import is_prompt_held_out
from study.base.errors import LearnerError
from study.content.concepts import load_concepts
from study.ports.classes import ConceptVerdict

pytestmark = pytest.mark.embedded

ROOT = Path(__file__).parents[3]
MODELS = Path(os.environ["LORA_STUDY_MODELS"])
PROMPTS = load_prompts(load_concepts())
LORA = PROMPTS["explain-lora"]
OWN = {
    "text": "Why do cats purr?",
    "hint": "Think of two occasions.",
    "concepts": [
        "Cats purr when content",
        "Cats purr to heal",
        "Kittens purr to their mother",
        "Purring is a sound",
    ],
}
STATED = "The pretrained weights stay as they are. Only a tiny share of the parameters is trained."
F1_FLOOR = 0.7
FALSE_ACCEPTED_CEILING = 0.15
NOISE_ACCEPTED_CEILING = 0.05
OWN_F1_FLOOR = 0.35
OWN_FALSE_ACCEPTED_CEILING = 0.3
OFF_TOPIC = "My bicycle has a flat tyre. Lunch was late today."


@pytest.fixture(scope="module")
def grader() -> Iterator[GraderClient]:
    """One worker for all of these tests."""
    opened = GraderClient(MODELS)
    yield opened
    opened.close()


def verdicts(grader: GraderClient, answer: str, prompt: Prompt = LORA) -> Mapping[str, ConceptVerdict]:
    return grader.grade(prompt, answer).verdicts


# ---- the contract


@pytest.fixture(scope="module")
def answered() -> tuple[list[dict[str, Any]], int]:
    """What the command answers to good and bad lines, each written only once the one before is answered."""
    lines = [
        json.dumps({"prompt": "explain-lora", "answer": STATED}),
        json.dumps({"prompt": "explain-nothing", "answer": "x"}),
        "not JSON",
        json.dumps({"prompt": "explain-lora"}),
        json.dumps({"prompt": OWN, "answer": "They purr when they are content."}),
        json.dumps({"prompt": "explain-lora", "answer": ""}),
        json.dumps({"prompt": "explain-lora", "answer": f"{STATED} \ud83d"}),  # half an emoji, cut by a limit
        "[" * 200_000,
        "\udcff",  # a byte that is no UTF-8
        json.dumps({"prompt": "explain-lora", "answer": STATED}),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "quizzes", "grade", "--jsonl"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        errors="surrogateescape",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said = []
    for line in lines:
        process.stdin.write(line + "\n")
        process.stdin.flush()
        said.append(json.loads(process.stdout.readline()))
    process.stdin.close()
    return said, process.wait()


def test_every_line_is_answered_in_order_before_the_next_is_read(
    answered: tuple[list[dict[str, Any]], int],
) -> None:
    said, status = answered
    wrong = [place for place, line in enumerate(said) if "error" in line]
    assert wrong == [1, 2, 3, 7, 8]
    assert status == 1
    assert list(said[0]["concepts"]) == [concept.id for concept in LORA.concepts]
    assert said[0]["score"] == sum(verdict == "covered" for verdict in said[0]["concepts"].values())
    assert set(said[5]["concepts"].values()) == {"missing"}
    assert said[6]["concepts"] == said[0]["concepts"] == said[9]["concepts"]


def test_the_evidence_is_the_answers_own_words(answered: tuple[list[dict[str, Any]], int]) -> None:
    [shown] = answered[0][0]["evidence"]["frozen-base"]
    assert (
        shown["text"] == STATED[shown["start"] : shown["end"]] == "The pretrained weights stay as they are."
    )


def test_an_own_prompt_is_graded_on_its_four_lines(answered: tuple[list[dict[str, Any]], int]) -> None:
    assert list(answered[0][4]["concepts"]) == ["concept-1", "concept-2", "concept-3", "concept-4"]


# ---- what must hold of every answer


@pytest.mark.parametrize(
    ("prompt_id", "answer"),
    [
        ("explain-lora", STATED),
        ("explain-lora", "Every weight of the model is trained. Memory use falls a lot."),
        (
            "explain-alpha-scaling",
            "Alpha isn't learned. The product is scaled by alpha over r before it is added.",
        ),
        ("explain-merge", "Merging adds BA to W. Afterwards inference is as fast as with the base."),
    ],
)
def test_case_spacing_order_and_off_topic_text_change_no_verdict(
    grader: GraderClient, prompt_id: str, answer: str
) -> None:
    prompt = PROMPTS[prompt_id]
    plain = verdicts(grader, answer, prompt)
    first, second = answer.split(". ")
    assert set(plain.values()) != {"missing"}
    assert verdicts(grader, answer.upper(), prompt) == plain
    assert verdicts(grader, answer.replace(" ", "  \n "), prompt) == plain
    assert verdicts(grader, f"{second} {first}.", prompt) == plain
    assert verdicts(grader, f"{answer} {OFF_TOPIC}", prompt) == plain


def test_without_the_marked_words_nothing_is_covered(grader: GraderClient) -> None:
    graded = grader.grade(LORA, STATED)
    assert "covered" in graded.verdicts.values()
    kept = list(STATED)
    for concept in graded.concepts:
        for span in concept.evidence:
            kept[span.start : span.end] = " " * (span.end - span.start)
    assert set(verdicts(grader, "".join(kept)).values()) == {"missing"}


def test_the_words_that_contradict_are_marked_and_not_the_sentence(grader: GraderClient) -> None:
    answer = (
        "QLoRA stores the frozen base model in 4 bits so a big model fits on one GPU, and the adapters are "
        "trained in bf16. Training is faster than with LoRA, and you need less hardware."
    )
    graded = grader.grade(PROMPTS["explain-qlora"], answer, find_words=True)
    [shown] = as_json(PROMPTS["explain-qlora"], answer, graded)["evidence"]["dequantize-to-compute"]
    assert shown["text"] == "Training is faster than with LoRA"
    assert graded.verdicts["dequantize-to-compute"] == "contradicted"
    carried = {c.concept_id: [answer[s.start : s.end] for s in c.words] for c in graded.concepts}
    assert carried["dequantize-to-compute"] == ["Training is faster than with LoRA"]
    assert carried["adapters-higher-precision"] == ["the adapters are trained in bf16"]
    assert carried["fits-small-gpu"] == ["a big model fits on one GPU"]


def test_what_contradicts_is_marked_in_twelve_words_at_most(grader: GraderClient) -> None:
    mixed = [one for one in load_answers(PROMPTS, folder=OTHER_WRITER) if one.kind == "mixed"][:30]
    longest = 0
    for one in mixed:
        concepts = grader.grade(PROMPTS[one.prompt_id], one.text, find_words=True).concepts
        wrong = [span for c in concepts if c.verdict == "contradicted" for span in c.words]
        longest = max([longest, *(len(one.text[span.start : span.end].split()) for span in wrong)])
    assert 3 <= longest <= 12


def test_a_megabyte_of_markup_is_answered(grader: GraderClient) -> None:
    graded = grader.grade(LORA, "<div onclick='x'>nothing to see</div> " * 27_000)
    assert graded.cut
    assert "covered" not in graded.verdicts.values()


def test_answers_of_another_writer_are_graded_as_docs_say(grader: GraderClient) -> None:
    """Floors well under docs/grader.md, on every sixth answer: something broke when they don't hold."""
    other = load_answers(PROMPTS, folder=OTHER_WRITER)
    answers = [one for at, one in enumerate(other) if at % 6 == 0 or one.kind in NOISE]
    judged = [
        JudgedAnswer(answer=one, verdicts=tuple(verdicts(grader, one.text, PROMPTS[one.prompt_id]).values()))
        for one in answers
    ]
    found = compute_report(judged)
    assert found.f1.value > F1_FLOOR
    assert found.false_accepted.value < FALSE_ACCEPTED_CEILING
    assert found.noise_accepted.value < NOISE_ACCEPTED_CEILING


def test_answers_to_prompts_that_it_has_not_learnt_from_are_graded_as_docs_say(grader: GraderClient) -> None:
    """Floors under docs/grader.md, on a twelfth of the held-out prompts like a learner's own."""
    own = load_own_prompts(OWN_TRAINING)
    chosen = [prompt_id for prompt_id in own if is_prompt_held_out(prompt_id)][::12]
    judged = [
        JudgedAnswer(answer=one, verdicts=tuple(verdicts(grader, one.text, own[one.prompt_id]).values()))
        for one in load_answers(chosen, folder=OWN_TRAINING)
    ]
    found = compute_report(judged)
    assert found.f1.value > OWN_F1_FLOOR
    assert found.false_accepted.value < OWN_FALSE_ACCEPTED_CEILING


def test_without_a_model_the_learner_reads_what_still_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    empty = GraderClient(tmp_path / "models")
    with pytest.raises(LearnerError) as caught:
        empty.grade(LORA, STATED)
    assert "could not be downloaded" in caught.value.what
    assert "tick what they say yourself" in caught.value.do_next
