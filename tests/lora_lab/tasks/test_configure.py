"""Configure tasks: each is solvable however it is drawn, and the lab judges any setting."""

from pathlib import Path

import pytest

from lora_lab.parameters.shapes import find_shape
from lora_lab.tasks import judge
from lora_lab.tasks.content import read_families, tasks_by_id
from lora_lab.tasks.measures import MEASURES, weights_bytes
from lora_lab.tasks.service import goal_of
from lora_lab.views import fit
from lora_lab.views.memory_form import gpu_bytes_of
from quizzes.bank.misconceptions import load_misconceptions
from study.base.errors import LearnerError
from study.content.concepts import load_concepts
from study.content.yaml_reader import ContentError

TASKS = tasks_by_id()


def test_there_are_at_least_thirty_tasks_in_seven_families() -> None:
    assert len(TASKS) >= 30
    assert len(read_families()) == 7


@pytest.mark.parametrize("task_id", TASKS)
def test_every_drawing_is_solved_by_a_search_over_its_controls_and_not_by_what_is_given(task_id: str) -> None:
    task = TASKS[task_id]
    for seed in range(judge.seed_count(task)):
        drawn = judge.draw(task_id, seed)
        found = judge.solve(drawn)
        assert found is not None, f"seed {seed}: {drawn.given}"
        setting = judge.read_setting(drawn, {name: found[name] for name in task.fields})
        assert judge.judge(drawn, setting).right
        assert not judge.judge(drawn, drawn.given).right
        assert "{" not in goal_of(drawn)


def test_concepts_and_misconceptions_exist() -> None:
    concepts, known = load_concepts().by_id, {each.id for each in load_misconceptions()}
    for task in TASKS.values():
        assert set(task.concepts) <= set(concepts), task.id
        assert {slip.misconception for slip in task.slips} <= known, task.id


def test_no_slip_fits_a_right_setting() -> None:
    for task in TASKS.values():
        for seed in range(judge.seed_count(task)) if task.slips else ():
            found = judge.solve(judge.draw(task.id, seed))
            assert found is not None
            assert judge.slip_of(task, found) == "", task.id


def test_another_one_comes_to_every_case_before_the_first_returns() -> None:
    for task in TASKS.values():
        seen, seed = [], 0
        for _ in range(judge.seed_count(task)):
            seen.append(seed)
            seed = judge.next_seed(task, seed)
        assert sorted(seen) == list(range(judge.seed_count(task)))
        assert seed == 0


def test_the_memory_that_a_task_checks_is_that_of_will_it_fit() -> None:
    drawn = judge.draw("fit-longest-context", 0)
    [memory, _] = judge.judge(drawn, drawn.given).checked
    assert memory.value == fit.needed_bytes(drawn.given)
    assert memory.target == gpu_bytes_of("24")


def test_a_base_in_fp32_takes_four_bytes_for_every_weight() -> None:
    drawn = judge.draw("serve-weights", 0)
    shape = find_shape(str(drawn.given["model"]))
    rotary_bytes = 4 * shape.head_dim  # the frequencies, stored twice
    stored = weights_bytes({**drawn.given, "bits": "fp32"})
    assert stored == 4 * shape.total_parameters + rotary_bytes


def test_each_changed_control_says_what_it_did_with_the_others_as_they_are() -> None:
    drawn = judge.draw("fit-longest-context", 0)
    setting = judge.read_setting(drawn, {"bits": "nf4-dq", "checkpointing": "yes", "seq_len": "4096"})
    knobs = {
        knob.field: {name: after - before for name, before, after in knob.effects}
        for knob in judge.judge(drawn, setting).knobs
    }
    assert set(knobs) == {"bits", "checkpointing", "seq_len"}
    back = {**setting, "bits": "bf16"}
    assert knobs["bits"]["needed_bytes"] == fit.needed_bytes(setting) - fit.needed_bytes(back) < 0
    assert knobs["seq_len"]["seq_len"] == 4096 - 1024


def test_several_settings_may_print_the_line() -> None:
    drawn = judge.draw("printed-both", 0)
    assert drawn.line.startswith(
        "trainable params: 40,894,464 || all params: 7,288,918,016 || trainable%: 0.56"
    )
    for targets, rank in (("attention", "48"), ("q+v", "96")):
        assert judge.judge(drawn, judge.read_setting(drawn, {"targets": targets, "rank": rank})).right
    assert not judge.judge(drawn, judge.read_setting(drawn, {"targets": "q+v", "rank": "48"})).right


def test_half_of_the_layers_train_half_of_the_parameters() -> None:
    drawn = judge.draw("count-fewer-layers", 0)
    count = MEASURES["trainable"].compute
    half = judge.read_setting(drawn, {"layers": "16", "rank": "16"})
    assert count(half) * 2 == count(drawn.given)
    assert judge.judge(drawn, {**half, "rank": "32"}).right


def test_a_wrong_setting_names_the_misconception_behind_it() -> None:
    drawn = judge.draw("scale-higher-rank", 0)
    found = judge.judge(drawn, judge.read_setting(drawn, {"rank": "64", "alpha": "16"}))
    assert (found.right, found.misconception) == (False, "alpha-is-the-scale")


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"seq_len": "0"}, "Context, tokens must be a whole number from 256 to 131,072, got '0'"),
        ({"seq_len": "1e4"}, "got '1e4'"),
        ({"seq_len": "9" * 400}, "got '99999999999999999999'"),
        ({"bits": "int3"}, "Weights stored in has no 'int3'"),
    ],
)
def test_a_value_out_of_its_limits_is_named(form: dict[str, str], message: str) -> None:
    with pytest.raises(LearnerError, match=message.replace("(", r"\(")):
        judge.read_setting(judge.draw("fit-longest-context", 0), form)


def test_an_unknown_task_says_what_to_do() -> None:
    with pytest.raises(LearnerError, match="Choose one from the list"):
        judge.draw("no-such-task", 0)


def test_all_problems_of_a_family_are_reported_at_once(tmp_path: Path) -> None:
    text = """
name: A family
about: of one task
tasks:
  - id: broken
    name: Broken
    level: beginner
    concepts: [lora-rank]
    goal: Do it.
    given: {model: no-such-model, colour: red}
    cases: [{}, {}, {}]
    controls: [{field: nonsense}]
    shown: [nothing]
    check: [{measure: nothing, at_most: {sum: 1}}]
    keep: k
    hint: h
    source: s
"""
    (tmp_path / "1-broken.yaml").write_text(text, "utf-8")
    with pytest.raises(ContentError) as raised:
        read_families(tmp_path)
    said = str(raised.value)
    for part in (
        "'no-such-model'",
        "colour",
        "'nonsense'",
        "`shown`: no measure 'nothing'",
        "isn't a target",
    ):
        assert part in said
