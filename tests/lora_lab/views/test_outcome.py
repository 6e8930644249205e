"""What a run's end says: the sentence follows from the losses, and the next experiment is a new one."""

from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from lora_lab.runs.state import RunState
from lora_lab.settings.run_form import parse_spec_address
from lora_lab.spec import TINY_MODEL, RunSpec, Variant
from lora_lab.views.outcome import change_rank, describe_outcome, holds, suggest_experiment
from tests.lora_lab import run_builders

SPEC = RunSpec(steps=20)


def ended(before: float | None, after: float | None, *, steps: int = 20) -> RunState:
    """A state with these held-out losses."""
    events = tuple({"step": number + 1} for number in range(steps))
    return RunState(status="finished", loss_before=before, loss_after=after, steps=events)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (4.43, 3.54, "After 20 steps it predicts the next word of the answers on the app's cards much "
         "better: the right one is 2.44 times as likely as before."),
        (4.0, 3.7, "better: the right one is 1.35 times as likely"),
        (4.0, 3.9, "a little better: the right one is 1.11 times as likely"),
        (4.0, 3.99, "as well as before"),
        (3.0, 3.5, "worse: the right one was 1.65 times as likely before."),
    ],
)  # fmt: skip
def test_the_sentence_follows_from_the_losses(before: float, after: float, said: str) -> None:
    outcome = describe_outcome(SPEC, ended(before, after), [])
    assert outcome is not None
    assert said in outcome.sentence


def test_without_two_finite_losses_nothing_is_claimed() -> None:
    for before, after in ((None, 3.0), (3.0, None), (3.0, float("nan"))):
        assert describe_outcome(SPEC, ended(before, after), []) is None
    assert suggest_experiment(SPEC, ended(3.0, None), "a-run", [SPEC]) is None


def test_an_untrained_models_losses_are_not_given_a_meaning() -> None:
    outcome = describe_outcome(replace(SPEC, model=TINY_MODEL), ended(5.5, 5.1), [])
    assert outcome is not None
    assert "means nothing" in outcome.sentence


def sample(tuned: str, *, base: str = "I see.") -> dict[str, str]:
    return {
        "prompt": "?",
        "reference": "The rank counts 8 independent columns.",
        "base": base,
        "tuned": tuned,
    }


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("The rank counts 8 columns.", True),
        ("8 independent columns, and no more than that", True),
        ("The rank counts independent columns.", False),  # the number is missing
        ("The rank is the number of rows.", False),
        ("", False),
    ],
)
def test_an_answer_holds_the_right_one_by_its_words_and_numbers(answer: str, right: bool) -> None:
    assert holds(answer, sample("")["reference"]) is right


def test_answers_are_counted_before_and_after() -> None:
    right = "The rank counts 8 columns."
    outcome = describe_outcome(
        SPEC, ended(4.4, 3.5), [sample(right), sample("No."), sample("No.", base=right)]
    )
    assert outcome is not None
    assert outcome.answers == (
        "Not every sample comes near the right answer: 1 of its 3 sample answers has all of the right "
        "answer's numbers and at least half of its longer words (1 before training)."
    )
    outcome = describe_outcome(
        SPEC, ended(4.4, 3.5), [sample("No.", base=right), sample("No."), sample("No.")]
    )
    assert outcome is not None
    assert outcome.answers == (
        "None of its 3 sample answers counts as right; before training, 1 did. To count, an answer needs "
        "every number of the right one and at least half of its longer words."
    )
    outcome = describe_outcome(SPEC, ended(4.4, 3.5), [sample("No."), sample("No.")])
    assert outcome is not None
    assert "answers counts as right, before training or after. To count," in outcome.answers


def test_the_next_experiment_changes_one_thing_and_was_not_run_before() -> None:
    state = ended(4.4, 3.5)
    tried = [SPEC]
    titles = []
    while (found := suggest_experiment(SPEC, state, "a-run", tried)) and "expect=a-run" in found.address:
        titles.append(found.title)
        tried.append(
            {
                "rank": change_rank(SPEC, 1),
                "bit": replace(SPEC, bits="bf16"),
                "step": replace(SPEC, steps=80),
            }[next(word for word in ("rank", "bit", "step") if word in found.title)]
        )
    assert titles == [
        "Now rank 1, same seed: what do you expect?",
        "Now 16-bit (bf16) weights, same seed: what do you expect?",
        "Now 80 steps, same seed: what do you expect?",
    ]
    assert found is not None
    assert found.address.startswith("/grid?")
    assert "seeds=0,1,2" in found.address or "seeds" not in found.address  # three seeds may be the preset's


def test_a_loss_that_rose_asks_about_the_learning_rate_first() -> None:
    found = suggest_experiment(SPEC, ended(3.0, 3.1), "a-run", [SPEC])
    assert found is not None
    assert "learning_rate=0.0005" in found.address


@pytest.mark.parametrize(
    ("rate", "offered"),
    [(50.0, ["", "0.0002"]), (0.004, ["", "0.0002"]), (0.002, ["0.0002"]), (0.0005, ["5e-05"])],
)
def test_after_harm_the_usual_learning_rate_comes_next_or_a_tenth(rate: float, offered: list[str]) -> None:
    spec = replace(SPEC, learning_rate=rate)
    tried = [spec]
    for rates in offered:  # an address omits the usual rate
        found = suggest_experiment(spec, ended(4.55, 10.8), "a-run", tried)
        assert found is not None
        asked = parse_spec_address(dict(parse_qsl(urlsplit(found.address).query)))
        assert asked == replace(spec, learning_rate=float(rates or RunSpec.learning_rate))
        assert "Training did harm." in found.reason
        tried.append(asked)


def test_no_other_setting_is_tried_at_a_learning_rate_that_did_harm() -> None:
    spec = replace(SPEC, learning_rate=50)
    tried = [replace(spec, learning_rate=rate) for rate in (50, RunSpec.learning_rate, 2e-4)]
    found = suggest_experiment(spec, ended(4.55, 10.8), "a-run", tried)
    assert found is not None
    assert found.address.startswith("/grid?")
    assert "learning_rate=50" not in found.address


def test_a_loss_near_the_logarithm_of_the_vocabulary_is_said_to_be_guessing() -> None:
    for after, said in (
        (10.8, "That is the loss of guessing, 10.80 = ln 49,152"),
        (14.0, "That is above the loss of guessing, 10.80 = ln 49,152"),
        (9.0, ""),
    ):
        outcome = describe_outcome(SPEC, ended(4.55, after), [], vocab=49_152)
        assert outcome is not None
        assert said in outcome.sentence
        assert ("guessing" in outcome.sentence) is bool(said)
    unknown = describe_outcome(SPEC, ended(4.55, 10.8), [])
    assert unknown is not None
    assert "guessing" not in unknown.sentence


@pytest.mark.parametrize("variant", ["lora", "rslora"])
def test_another_rank_keeps_the_scale(variant: Variant) -> None:
    spec = replace(SPEC, rank=16, alpha=32, variant=variant)
    assert change_rank(spec, 1).scaling == pytest.approx(spec.scaling)


def test_named_modules_have_no_grid(tmp_path: Path) -> None:
    spec = run_builders.finished(tmp_path, replace(SPEC, targets="q_proj")).spec
    tried = [spec, change_rank(spec, 1), replace(spec, bits="bf16"), replace(spec, steps=80)]
    assert suggest_experiment(spec, ended(4.4, 3.5), "a-run", tried) is None
