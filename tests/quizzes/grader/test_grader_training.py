"""What the grader learns from and how it is measured: answers, examples, the split, limits, figures."""

from pathlib import Path
from random import Random

import pytest
import torch

from quizzes.grader.calibration import Case, fitting_limits, fitting_temperature, rescale_scores
from quizzes.grader.grading import Scores, decide_verdict
from quizzes.grader.labelled_answers import ANSWERS, HEADER, NOISE, LabelledAnswer, load_answers
from quizzes.grader.metrics import JudgedAnswer, compute_report, count_confusion, report_by
from quizzes.grader.prompts import load_prompts
from quizzes.grader.verdicts import Verdict
from quizzes.grader.weights import UNCALIBRATED
from quizzes.grader.worker.examples import PARTS, held_out, merge_verdicts, mistype, split_epoch
from quizzes.grader.worker.train import contrast_loss
from study.content.concepts import load_concepts
from study.content.yaml_reader import ContentError

PROMPTS = load_prompts(load_concepts())


@pytest.fixture(scope="module")
def answers() -> list[LabelledAnswer]:
    return load_answers(PROMPTS)


def answer(
    verdicts: str = "cmmm", *, kind: str = "terse", pair: str = "", text: str = "It is so."
) -> LabelledAnswer:
    letters: dict[str, Verdict] = {"c": "covered", "p": "partial", "x": "contradicted", "m": "missing"}
    return LabelledAnswer(
        prompt_id="explain-lora",
        kind=kind,
        voice="teacher",
        pair=pair,
        verdicts=tuple(letters[letter] for letter in verdicts),
        text=text,
    )


# ---- the answers


def test_every_concept_has_right_and_false_statements_by_the_dozen(answers: list[LabelledAnswer]) -> None:
    for prompt in PROMPTS.values():
        own = [one for one in answers if one.prompt_id == prompt.id]
        for at in range(4):
            assert sum(one.verdicts[at] == "covered" for one in own) >= 40
            assert sum(one.verdicts[at] == "contradicted" for one in own) >= 24


def test_what_claims_nothing_is_labelled_so(answers: list[LabelledAnswer]) -> None:
    assert [
        one.text for one in answers if one.kind in NOISE - {"injection"} and set(one.verdicts) != {"missing"}
    ] == []


def test_no_answer_of_the_other_writer_was_learnt_from(answers: list[LabelledAnswer]) -> None:
    learnt = {one.text.lower() for one in answers}
    other = load_answers(PROMPTS, folder=ANSWERS / "dev")
    assert other
    assert [one.text for one in other if one.kind not in NOISE and one.text.lower() in learnt] == []


def test_a_bad_line_is_reported_with_file_and_line(tmp_path: Path) -> None:
    lines = [
        "\t".join(HEADER),
        "terse\tteacher\t\tccc\ttoo few letters",
        "terse\tteacher\tcccc",
        "terse\tt\t\tcccc\t ",
    ]
    (tmp_path / "explain-lora.tsv").write_text("\n".join(lines))
    with pytest.raises(ContentError) as caught:
        load_answers(["explain-lora", "explain-rank"], folder=tmp_path)
    places = [str(problem).partition("  ")[0] for problem in caught.value.problems]
    assert places == ["explain-lora.tsv:2", "explain-lora.tsv:3", "explain-lora.tsv:4", "explain-rank.tsv:1"]


# ---- examples


def test_minimal_contrasts_are_never_on_both_sides_of_the_split(answers: list[LabelledAnswer]) -> None:
    for part in range(PARTS):
        kept = {one.group for one in answers if held_out(one, part=part)}
        assert not kept & {one.group for one in answers if not held_out(one, part=part)}
        assert kept


def test_one_epoch_shows_every_answer_once_and_contrasts_side_by_side(answers: list[LabelledAnswer]) -> None:
    batches = split_epoch(answers, Random(1), rows=32)
    shown = [one for batch in batches for one in batch if one.kind != "joined"]
    assert sorted(one.text for one in shown) == sorted(one.text for one in answers)
    homes: dict[str, set[int]] = {}
    for at, batch in enumerate(batches):
        for one in batch:
            if one.pair:
                homes.setdefault(one.group, set()).add(at)
    assert all(len(places) == 1 for places in homes.values())


def test_one_seed_gives_one_order_of_examples(answers: list[LabelledAnswer]) -> None:
    assert split_epoch(answers[:200], Random(3), rows=8) == split_epoch(answers[:200], Random(3), rows=8)


def test_of_two_statements_the_stronger_wins() -> None:
    said = merge_verdicts([answer("cpxm").verdicts, answer("xcmm").verdicts])
    assert said == ("contradicted", "covered", "contradicted", "missing")


def test_a_slip_of_the_keyboard_leaves_short_words_alone() -> None:
    dice = Random(5)
    for _ in range(200):
        words = mistype("It is not only the base that stays quantized", dice).split()
        assert words[:7] == ["It", "is", "not", "only", "the", "base", "that"]


def test_the_contrast_loss_falls_as_the_right_statement_rises_above_its_twin() -> None:
    batch = [answer("cmmm", pair="p1"), answer("xmmm", pair="p1"), answer("xmmm", pair="p2")]
    labels = torch.tensor([[2, 0, 0, 0], [3, 0, 0, 0], [3, 0, 0, 0]])
    even, apart = torch.zeros(3, 4, 4), torch.zeros(3, 4, 4)
    apart[0, 0, 2] = apart[1, 0, 3] = 4.0
    assert contrast_loss(apart, labels, batch) < contrast_loss(even, labels, batch)
    assert contrast_loss(even, labels, batch[:1] + batch[2:] + batch[2:]) == 0


# ---- limits and figures


def test_the_limits_keep_false_statements_out_where_that_can_be_done() -> None:
    right = [Case(label="covered", scores=Scores(0.02, 0.02, 0.9, 0.06), noise=False)] * 60
    false = [Case(label="contradicted", scores=Scores(0.05, 0.05, 0.58, 0.32), noise=False)] * 40
    limits = fitting_limits(right + false, UNCALIBRATED)
    assert decide_verdict(right[0].scores, limits)[0] == "covered"
    assert decide_verdict(false[0].scores, limits)[0] != "covered"


def test_an_overconfident_network_is_cooled_down() -> None:
    sure = Scores(0.01, 0.01, 0.97, 0.01)
    right: Verdict = "covered"
    wrong: Verdict = "missing"
    temperature = fitting_temperature([(right, sure)] * 6 + [(wrong, sure)] * 4)
    assert temperature > 1.5
    assert rescale_scores(sure, temperature).covered < 0.85


def test_the_figures_count_what_their_names_say() -> None:
    judged = [
        JudgedAnswer(answer=answer("cxmm"), verdicts=("covered", "covered", "missing", "unsure")),
        JudgedAnswer(
            answer=answer("cmmm", kind="correct-with-negation"),
            verdicts=("contradicted", "missing", "missing", "missing"),
        ),
        JudgedAnswer(
            answer=answer("mmmm", kind="off-topic"), verdicts=("covered", "missing", "missing", "missing")
        ),
    ]
    found = compute_report(judged)
    assert found.precision.value == pytest.approx(1 / 3)
    assert found.recall.value == 0.5
    assert found.f1.value == pytest.approx(0.4)
    assert found.false_accepted.value == 1
    assert found.noise_accepted.value == 0.25
    assert found.negations_refused.value == 1
    assert found.unsure.value == pytest.approx(1 / 12)
    assert all(figure.low <= figure.value <= figure.high for figure in vars(found).values())
    assert sum(row.get("covered", 0) for row in count_confusion(judged).values()) == 3
    assert list(report_by(judged, lambda one: one.kind)) == ["correct-with-negation", "off-topic", "terse"]
