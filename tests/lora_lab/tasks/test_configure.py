"""Configure tasks: each is solvable however it is drawn, and the lab judges any setting."""

from itertools import product
from pathlib import Path

import pytest

from lora_lab.memory.gpus import GPUS
from lora_lab.parameters.shapes import find_shape
from lora_lab.tasks import judge
from lora_lab.tasks.content import map_tasks_by_id, read_families
from lora_lab.tasks.measures import MEASURES, Setting, weights_bytes
from lora_lab.tasks.service import format_goal
from lora_lab.views import fit
from quizzes.bank.misconceptions import load_misconceptions
from study.base.errors import LearnerError
from study.content.concepts import load_concepts
from study.content.yaml_reader import ContentError

TASKS = map_tasks_by_id()


def solve(drawn: judge.Drawn) -> Setting | None:
    """A right setting, found as the best value is; None without one."""
    tried = judge._combine(drawn.task.controls, drawn.given)
    for condition, _ in drawn.targeted:
        if condition.kind == "best":
            others = [pair for pair in drawn.targeted if pair[0] is not condition]
            tried = judge._list_candidates(drawn, condition, others)
            break
    return next((each for each in tried if judge._meets(drawn, each, drawn.targeted)), None)


def test_there_are_at_least_thirty_tasks_in_seven_families() -> None:
    assert len(TASKS) >= 30
    assert len(read_families()) == 7


@pytest.mark.parametrize("task_id", TASKS)
def test_every_drawing_is_solved_by_a_search_over_its_controls_and_not_by_what_is_given(task_id: str) -> None:
    task = TASKS[task_id]
    for seed in range(len(task.cases)):
        drawn = judge.draw(task_id, seed)
        found = solve(drawn)
        assert found is not None, f"seed {seed}: {drawn.given}"
        setting = judge.read_setting(drawn, {name: found[name] for name in task.fields})
        assert judge.judge(drawn, setting).right
        assert not judge.judge(drawn, drawn.given).right
        assert "{" not in format_goal(drawn)


def test_concepts_and_misconceptions_exist() -> None:
    concepts, known = load_concepts().by_id, {each.id for each in load_misconceptions()}
    for task in TASKS.values():
        assert set(task.concepts) <= set(concepts), task.id
        assert {slip.misconception for slip in task.slips} <= known, task.id


def test_no_slip_fits_a_right_setting() -> None:
    for task in TASKS.values():
        for seed in range(len(task.cases)) if task.slips else ():
            drawn = judge.draw(task.id, seed)
            found = solve(drawn)
            assert found is not None
            assert judge.find_slip(task, found, drawn.given) == "", task.id


def test_another_one_comes_to_every_case_before_the_first_returns() -> None:
    for task in TASKS.values():
        seen, seed = [], 0
        for _ in range(len(task.cases)):
            seen.append(seed)
            seed = judge.choose_next_seed(task, seed)
        assert sorted(seen) == list(range(len(task.cases)))
        assert seed == 0


def test_the_memory_that_a_task_checks_is_that_of_will_it_fit() -> None:
    drawn = judge.draw("fit-longest-context", 0)
    [memory, _] = judge.judge(drawn, drawn.given).checked
    assert memory.value == fit.compute_needed_bytes(drawn.given)
    assert memory.target == GPUS[24].total_bytes


def test_a_base_in_fp32_takes_four_bytes_for_every_weight() -> None:
    drawn = judge.draw("serve-weights", 0)
    shape = find_shape(str(drawn.given["model"]))
    rotary_bytes = 4 * shape.head_dim  # the frequencies, stored twice
    stored = weights_bytes({**drawn.given, "bits": "fp32"})
    assert stored == 4 * shape.total_parameters + rotary_bytes


def test_each_changed_control_says_what_it_did_with_the_others_as_they_are() -> None:
    drawn = judge.draw("fit-longest-context", 0)
    setting = judge.read_setting(drawn, {"bits": "nf4-dq", "checkpointing": "yes", "seq_len": "4096"})
    control_effects = {
        control.field: {name: after - before for name, before, after in control.effects}
        for control in judge.judge(drawn, setting).control_effects
    }
    assert set(control_effects) == {"bits", "checkpointing", "seq_len"}
    back = {**setting, "bits": "bf16"}
    assert (
        control_effects["bits"]["needed_bytes"]
        == fit.compute_needed_bytes(setting) - fit.compute_needed_bytes(back)
        < 0
    )
    assert control_effects["seq_len"]["seq_len"] == 4096 - 1024


PRINTED = [task_id for task_id, task in TASKS.items() if task.printed]


@pytest.mark.parametrize("task_id", PRINTED)
def test_a_printed_line_comes_from_one_setting_and_another_one_asks_for_another(task_id: str) -> None:
    task, answers = TASKS[task_id], []
    for seed in range(len(task.cases)):
        drawn = judge.draw(task_id, seed)
        values = [judge.list_tried_values(control, drawn.given) for control in task.controls]
        forms = (dict(zip(task.fields, each, strict=True)) for each in product(*values))
        right = [form for form in forms if judge.judge(drawn, judge.read_setting(drawn, form)).right]
        assert len(right) == 1, f"seed {seed}: {right}"
        answers += right
        assert judge.format_printed({**drawn.given, **right[0]}) == drawn.line
    assert len({str(answer) for answer in answers}) > 1


def test_a_line_of_another_rank_and_other_matrices_needs_both_controls() -> None:
    drawn = judge.draw("printed-both", 0)
    assert drawn.line.startswith("trainable params: 44,564,480 || all params: 7,292,588,032")
    both = {"targets": "all-linear", "rank": "17"}
    assert judge.judge(drawn, judge.read_setting(drawn, both)).right
    for field in both:
        one = {name: value for name, value in both.items() if name != field}
        assert not judge.judge(drawn, judge.read_setting(drawn, one)).right


@pytest.mark.parametrize("seed", range(4))
def test_a_budget_is_spread_over_all_linear_layers_and_not_over_attention_alone(seed: int) -> None:
    drawn = judge.draw("count-more-matrices", seed)
    found = solve(drawn)
    assert found is not None
    assert found["targets"] == "all-linear"
    with pytest.raises(LearnerError, match="has no 'attention'"):
        judge.read_setting(drawn, {"targets": "attention", "rank": "32"})


@pytest.mark.parametrize("seed", range(4))
def test_the_most_exact_weights_are_the_same_whether_a_card_is_counted_in_gb_or_gib(seed: int) -> None:
    drawn = judge.draw("serve-weights", seed)
    for unit_bytes in (10**9, 2**30):
        stored = {
            bits: weights_bytes({**drawn.given, "bits": bits})
            for bits in ("fp32", "bf16", "int8", "nf4", "nf4-dq")
        }
        most_exact = next(
            bits for bits, size in stored.items() if size <= int(drawn.given["gpu"]) * unit_bytes
        )
        assert judge.judge(drawn, judge.read_setting(drawn, {"bits": most_exact})).right


def test_no_goal_names_the_best_value_that_it_asks_for() -> None:
    for task in TASKS.values():
        asks_for_best = any(each.kind == "best" and each.number == 1 for each in task.conditions)
        assert not (asks_for_best and "{target}" in task.goal), task.id


def test_half_of_the_layers_train_half_of_the_parameters() -> None:
    drawn = judge.draw("count-fewer-layers", 0)
    count = MEASURES["trainable"].compute
    half = judge.read_setting(drawn, {"layers": "16", "rank": "16"})
    assert count(half) * 2 == count(drawn.given)
    assert judge.judge(drawn, {**half, "rank": "32"}).right


@pytest.mark.parametrize("task_id", ["scale-higher-rank", "scale-double-parameters"])
def test_alpha_left_as_it_was_is_the_misconception_that_the_scale_ignores_the_rank(task_id: str) -> None:
    for seed in range(len(TASKS[task_id].cases)):
        drawn = judge.draw(task_id, seed)
        solved = solve(drawn)
        assert solved is not None
        found = judge.judge(drawn, judge.read_setting(drawn, {"rank": solved["rank"]}))
        assert (found.right, found.misconception) == (False, "scale-ignores-rank")
        other = judge.read_setting(drawn, {"rank": solved["rank"], "alpha": "3"})
        assert judge.judge(drawn, other).misconception == ""


def test_what_is_given_shows_no_misconception_as_nothing_was_chosen() -> None:
    for task in TASKS.values():
        for seed in range(len(task.cases)) if task.slips else ():
            drawn = judge.draw(task.id, seed)
            assert judge.find_slip(task, drawn.given, drawn.given) == "", task.id


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
    cases: [{}, {}, {wanted: {batch: 2}}]
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
        "'batch' isn't a control",
        "no condition has `like`",
    ):
        assert part in said
