"""The page of tasks: the list, a task whose numbers follow its controls, and how attempts are kept."""

import re
from dataclasses import replace

import pytest

from lora_lab.pages.tasks import TasksPage
from lora_lab.tasks.content import map_tasks_by_id
from lora_lab.tasks.service import TaskService
from study.base.errors import LearnerError
from study.ports.context import Context, find_visit
from study.ports.learn import MisconceptionLink
from study.ports.ports import Ports
from tests.visits import Visitor, words

Reader = Visitor[TasksPage]


@pytest.fixture
def ana(context: Context) -> Reader:
    service = TaskService(store=context.store)
    return Visitor(TasksPage(context=context, service=service, ports=Ports()))


def fields(**values: str) -> dict[str, list[str]]:
    return {name: [value] for name, value in values.items()}


def test_the_list_names_every_task_and_what_is_solved(ana: Reader) -> None:
    said = words(ana.opens("/tasks"))
    for task in map_tasks_by_id().values():
        assert task.name in said
    assert f"0 of {len(map_tasks_by_id())} settings solved" in said


def test_each_family_of_tasks_begins_with_the_easier_ones_and_a_gpu_is_called_one(ana: Reader) -> None:
    listed = words(ana.opens("/tasks"))
    fitting = listed[listed.index("Make it fit") : listed.index("The cheapest change")]
    levels = re.findall(r"\b(beginner|intermediate|advanced)\b", fitting)
    assert levels == sorted(levels, key=("beginner", "intermediate", "advanced").index)
    assert len(set(levels)) == 3
    shown = words(ana.opens("/tasks?id=fit-smallest-card"))
    assert " Card " not in shown
    assert " GPU " in shown


def test_moving_a_control_updates_the_numbers_and_keeps_nothing(ana: Reader, context: Context) -> None:
    assert "wanted" in words(ana.opens("/tasks?id=scale-higher-rank"))
    parts = ana.sends("change", fields=fields(rank="64", alpha="32"))["parts"]
    assert "Scale of the update 2.00 0.500 exactly 2.00" in words(parts["numbers"])
    assert parts["judgement"] == ""
    assert attempts(ana, context) == []


def test_a_change_that_arrives_after_its_own_check_leaves_the_judgement(ana: Reader) -> None:
    """Ctrl+Enter right after typing sends both; the page asks again for what was on its way."""
    ana.opens("/tasks?id=scale-higher-rank")
    setting = fields(rank="64", alpha="128")
    ana.sends("check", fields=setting)
    assert "judgement" not in ana.sends("change", fields=setting)["parts"]
    assert ana.sends("change", fields=fields(rank="32", alpha="128"))["parts"]["judgement"] == ""


def test_a_wrong_setting_says_what_each_control_did(ana: Reader, context: Context) -> None:
    ana.opens("/tasks?id=scale-higher-rank")
    reply = ana.sends("check", fields=fields(rank="64", alpha="16"))
    said = words(reply["parts"]["judgement"])
    assert "Not yet" in said
    assert "Rank r: 8 → 64" in said
    assert "Scale of the update: 2.00 → 0.250 (−1.75)" in said
    assert reply["focus"] == "#judgement"
    assert attempts(ana, context) == [("scale-higher-rank", False)]


def test_a_right_setting_is_kept_and_leads_on(ana: Reader, context: Context) -> None:
    ana.opens("/tasks?id=scale-higher-rank&seed=2")
    said = words(ana.sends("check", fields=fields(rank="64", alpha="512"))["parts"]["judgement"])
    assert "Solved" in said
    assert "Next:" in said
    assert attempts(ana, context) == [("scale-higher-rank", True)]
    assert f"1 of {len(map_tasks_by_id())} settings solved" in words(ana.opens("/tasks"))


def test_the_status_follows_each_answer(ana: Reader) -> None:
    for address, act, answers in (
        ("scale-higher-rank", "check", (fields(rank="64", alpha="1"), fields(rank="64", alpha="128"))),
        ("run-climbs", "answer", (fields(option="rank"), fields(option="rate"))),
        ("build-rslora", "code", (fields(code="LoraConfig(r=64)"), None)),
    ):
        assert 'data-part="status">not begun<' in ana.opens(f"/tasks?id={address}")
        for answer, status in zip(answers, ("tried", "✓ solved"), strict=True):
            if answer is not None:
                assert ana.sends(act, fields=answer)["parts"]["status"] == status


def test_a_best_value_that_the_goal_does_not_name_is_told_by_a_check_only(ana: Reader) -> None:
    html = ana.opens("/tasks?id=fit-smallest-card")
    assert "The GPU holds 84.9 GB 84.9 GB shown after the check" in words(html)
    setting = fields(gpu="24", bits="nf4-dq", checkpointing="yes")
    moved = words(ana.sends("change", fields=setting)["parts"]["numbers"])
    assert "The GPU holds 84.9 GB 25.4 GB shown after the check" in moved
    checked = words(ana.sends("check", fields=setting)["parts"]["numbers"])
    assert "The GPU holds 84.9 GB 25.4 GB at most 15.6 GB" in checked
    assert "at least 161" in words(ana.opens("/tasks?id=fit-highest-rank"))


def test_what_a_task_fixes_is_written_below_its_goal(ana: Reader) -> None:
    said = words(ana.opens("/tasks?id=fit-highest-rank"))
    assert "Fixed here: Framework: trl's SFTTrainer up to 0.25 · Trained: LoRA" in said
    assert "Batch, sequences at once: 1" in said
    assert "1.40 GB of the memory is for CUDA's context and libraries" in said
    assert "Rank r: 8" not in said, "it is a control"
    assert "Fixed here" not in words(ana.opens("/tasks?id=scale-higher-rank"))


def test_a_card_is_explained_where_its_gb_are_not_those_of_the_goal(ana: Reader) -> None:
    said = words(ana.opens("/tasks?id=fit-highest-rank"))
    assert "on 12 GB" in said
    assert "at most 12.6 GB" in said
    assert "PyTorch sees 12.6 GB of a 12 GB GPU: 12 GiB = 12.9 GB, less what the driver keeps." in said
    chosen = words(ana.opens("/tasks?id=fit-smallest-card"))
    assert "A GPU is named by its GiB" in chosen
    assert "“The GPU holds” says how many GB of it PyTorch sees" in chosen
    assert 'id="card"' not in ana.opens("/tasks?id=scale-higher-rank")


def test_each_control_is_put_back_alone(ana: Reader) -> None:
    ana.opens("/tasks?id=fit-highest-rank")
    assert "One control at a time" not in words(
        ana.sends("check", fields=fields(rank="8"))["parts"]["judgement"]
    )
    others = {"rank": "150", "loss": "chunked cross-entropy"}
    assert "15.2 GB" in words(ana.sends("change", fields=fields(**others))["parts"]["numbers"])
    said = words(ana.sends("check", fields=fields(**others, optimizer="adamw8bit"))["parts"]["judgement"])
    told = "before the arrow it is back as it was given, and the others are as you set them."
    assert f"One control at a time: {told}" in said
    assert "15.2 GB → 11.8 GB" in said.partition("AdamW → 8-bit AdamW")[2]


def test_buttons_say_what_they_do(ana: Reader) -> None:
    assert ">Another task like this</a>" in ana.opens("/tasks?id=fit-highest-rank")
    checked = ana.sends("check", fields=fields(rank="8"))["parts"]["judgement"]
    assert ">Another task like this</a>" in checked
    run = ana.opens("/tasks?id=run-climbs")
    assert '<button type="submit" class="primary">Check my answer</button>' in run


def test_a_control_says_which_parts_of_the_memory_it_moved(ana: Reader) -> None:
    ana.opens("/tasks?id=fit-highest-rank")
    setting = fields(rank="150", optimizer="adamw8bit", loss="chunked cross-entropy")
    said = words(ana.sends("check", fields=setting)["parts"]["judgement"])
    assert "15.2 GB → 11.8 GB (−3.33 GB) of the memory: optimizer −2.35 GB, scratch −1.32 GB, " in said
    assert "a temporary copy of all trained numbers (scratch)" in said


def test_a_slip_is_worded_as_one_and_not_as_a_permission(ana: Reader) -> None:
    named = MisconceptionLink(
        id="divergence",
        name="fix a diverging run with more steps",
        address="/concept",
        experiment="Lower the rate.",
        experiment_address="/lab",
    )
    ana.page.ports.misconception = lambda _: named
    ana.opens("/tasks?id=run-climbs")
    said = words(ana.sends("answer", fields=fields(option="longer"))["parts"]["judgement"])
    assert "This answer suggests that you fix a diverging run with more steps." in said
    assert "See for yourself Lower the rate. Open it" in said
    ana.page.ports.misconception = lambda _: replace(named, experiment_address="/tasks?id=run-climbs")
    again = ana.sends("answer", fields=fields(option="longer"))["parts"]["judgement"]
    assert "See for yourself" not in again


def test_a_runs_log_and_smoothed_curve_say_what_they_are(ana: Reader) -> None:
    html = ana.opens("/tasks?id=run-climbs")
    assert "thin: each step, bold: mean of the last" in html
    assert "changed: the share of the adapter's numbers that this step changed." in words(html)


def test_a_later_miss_does_not_undo_what_was_solved(ana: Reader) -> None:
    ana.opens("/tasks?id=scale-higher-rank")
    ana.sends("check", fields=fields(rank="64", alpha="128"))
    ana.sends("check", fields=fields(rank="64", alpha="1"))
    assert "✓ solved" in words(ana.opens("/tasks?id=scale-higher-rank"))


def test_a_memory_task_leads_to_the_same_setting_in_will_it_fit(ana: Reader) -> None:
    ana.opens("/tasks?id=free-without-cost")
    html = ana.sends("check", fields=fields(optimizer="adamw8bit", rank="256", seq_len="1024"))["parts"][
        "judgement"
    ]
    assert "Solved" in html
    assert "/memory?" in html
    assert "optimizer=adamw8bit" in html
    assert "rank=256" in html


def test_a_value_out_of_its_limits_is_said_beside_the_numbers(ana: Reader, context: Context) -> None:
    ana.opens("/tasks?id=scale-higher-rank")
    parts = ana.sends("check", fields=fields(rank="0", alpha="16"))["parts"]
    assert "Rank r must be a whole number" in words(parts["numbers"])
    assert attempts(ana, context) == []


def test_another_one_has_other_numbers(ana: Reader) -> None:
    first, second = ana.opens("/tasks?id=fit-largest-model"), ana.opens("/tasks?id=fit-largest-model&seed=2")
    assert "on 12 GB" in words(first)
    assert "on 24 GB" in words(second)


def test_an_unknown_task_is_said(ana: Reader) -> None:
    with pytest.raises(LearnerError, match="Choose one from the list"):
        ana.opens("/tasks?id=nothing")


def test_a_concept_lists_the_tasks_about_it(context: Context) -> None:
    visit = find_visit(context, browser_id="browser-of-ana", query={})
    links = TaskService(store=context.store).list_links(visit, "lora-alpha")
    assert links[0].address == "/tasks?id=scale-higher-rank"
    assert links[0].status == "not begun"


def attempts(ana: Reader, context: Context) -> list[tuple[str, bool]]:
    [profile] = context.store.profiles.all()
    return [(each.task_id, each.correct) for each in context.store.tasks.attempts(profile.id)]


def test_code_is_kept_as_a_draft_judged_and_logged(ana: Reader, context: Context) -> None:
    html = ana.opens("/tasks?id=build-rslora")
    assert "never executed" in words(html)
    ana.sends("draft", value="config = LoraConfig(r=64, use_rslora=True, lora_alpha=128)")
    assert "use_rslora=True, lora_alpha=128" in ana.opens("/tasks?id=build-rslora")
    wrong = ana.sends("code", fields={"code": ["LoraConfig(r=64, use_rslora=True, lora_alpha=128)"]})
    assert "Which alpha gives 2?" in words(wrong["parts"]["judgement"])
    right = ana.sends("code", fields={"code": ["LoraConfig(r=64, use_rslora=True, lora_alpha=16)"]})
    assert "Solved" in words(right["parts"]["judgement"])
    assert attempts(ana, context) == [("build-rslora", False), ("build-rslora", True)]


def test_code_that_a_window_kept_is_of_one_learner(ana: Reader, context: Context) -> None:
    names = re.findall(r'data-(?:draft|saved)="([^"]*)"', ana.opens("/tasks?id=build-rslora"))
    [profile] = context.store.profiles.all()
    assert names == [f"{profile.id}:task-build-rslora"] * 2


def test_code_that_is_no_python_is_said_and_not_counted(ana: Reader, context: Context) -> None:
    ana.opens("/tasks?id=build-rslora")
    reply = ana.sends("code", fields={"code": ["LoraConfig(r=64"]})
    assert "Line 1 isn't Python" in words(reply["parts"]["judgement"])
    assert attempts(ana, context) == []


def test_a_run_shows_curves_and_log_and_leads_to_its_repair(ana: Reader, context: Context) -> None:
    html = ana.opens("/tasks?id=run-climbs")
    said = words(html)
    assert "What is wrong with this run?" in said
    assert html.count("<svg") == 8
    assert "trainable params: 2,442,240" in said
    assert "rate-high" not in html
    wrong = words(ana.sends("answer", fields={"option": ["overfit"]})["parts"]["judgement"])
    assert "That isn't the fault" in wrong
    assert "Repair it" not in wrong
    right = ana.sends("answer", fields={"option": ["rate"]})["parts"]["judgement"]
    assert "Repair it" in right
    assert "/lab?" in right
    assert attempts(ana, context) == [("run-climbs", False), ("run-climbs", True)]


def test_an_answer_without_a_choice_is_said(ana: Reader) -> None:
    ana.opens("/tasks?id=run-climbs")
    with pytest.raises(LearnerError, match="Nothing is chosen yet"):
        ana.sends("answer", fields={})


def test_misses_name_the_misconceptions_behind_them(ana: Reader, context: Context) -> None:
    ana.opens("/tasks?id=run-climbs")
    ana.sends("answer", fields={"option": ["overfit"]})
    ana.opens("/tasks?id=scale-higher-rank")
    ana.sends("check", fields=fields(rank="64", alpha="16"))
    ana.opens("/tasks?id=build-rslora")
    ana.sends("code", fields={"code": ["LoraConfig(r=64, use_rslora=True, lora_alpha=128)"]})
    visit = find_visit(context, browser_id="browser-of-ana", query={})
    found = TaskService(store=context.store).list_misses(visit)
    assert [each for _, each in found] == ["overfitting", "scale-ignores-rank", "mixes-up-rslora"]
