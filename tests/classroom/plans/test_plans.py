"""Lesson plans: the five that are shipped are valid with the app's own questions; a broken one says where."""

from functools import partial
from pathlib import Path

import pytest

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from classroom.plans.plan import PLANS_DIR, Plans
from lora_lab.engine.local import LocalEngine
from lora_lab.figures import build_figures
from lora_lab.lab import Lab
from lora_lab.views.class_grids import LabClassGrids
from lora_lab.views.class_runs import LabClassRuns
from quizzes.bank.bank import load_bank
from quizzes.explain.class_grader import QuizClassGrader
from quizzes.grader.prompts import load_prompts
from quizzes.session.class_questions import find_class_question
from study.base.checks import Check, check_holds
from study.base.errors import LearnerError
from study.base.settings import Settings
from study.content.concepts import ConceptMap
from study.content.yaml_reader import ContentError, read_mapping
from tests.classroom.builders import FIGURES, Grader, Grids, Runs, find_question


@pytest.fixture
def shipped(settings: Settings, concepts: ConceptMap) -> Plans:
    lab = Lab(settings, LocalEngine(settings, warm=False))
    bank = load_bank(concepts)
    return Plans(
        find_question=partial(find_class_question, bank),
        runs=LabClassRuns(lab=lab),
        grids=LabClassGrids(lab=lab),
        grader=QuizClassGrader(prompts=load_prompts(concepts), client=None),
        figures=build_figures(settings.models_dir),
        own_folder=settings.plans_dir,
    )


def test_five_plans_are_shipped_and_valid(shipped: Plans) -> None:
    plans = shipped.list_all()
    assert [plan.id for plan in plans] == [
        "opener", "self-paced", "qlora-memory-25", "rank-25", "revision", "lab-45",
    ]  # fmt: skip
    for plan in plans:
        assert all(activity.title and activity.phases for activity in plan.activities)
        for activity in plan.activities:
            for asked in filter(None, (activity.asked, activity.twin)):
                assert activity.kind in ("poll", "compare") or asked.right


def test_the_true_values_of_guesses_are_those_that_the_lab_computes() -> None:
    checked = 0
    for path in PLANS_DIR.glob("*.yaml"):
        file = read_mapping(path, kind="plan", problems=[])
        assert file is not None
        for entry in file.raw("activities"):
            checks = entry.get("check", [])
            for written in checks if isinstance(checks, list) else [checks]:
                known = {"quantity", "expect", "tolerance"}
                arguments = {name: value for name, value in written.items() if name not in known}
                check = Check(
                    quantity=written["quantity"],
                    arguments=arguments,
                    expect=written["expect"],
                    tolerance=written.get("tolerance", 0),
                )
                assert check_holds(check), path.name
                checked += 1
    assert checked == 11


def test_every_shipped_prediction_says_why_it_is_so(shipped: Plans) -> None:
    guessed = [
        each.guessed for plan in shipped.list_all() for each in plan.activities if each.kind == "predict"
    ]
    assert len(guessed) == 4
    assert all(each and each.why and each.concept_name != each.concept for each in guessed)


def test_a_broken_plan_reports_every_problem(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "title: Bad\nabout: Bad.\nminutes: 0\nactivities:\n"
        "  - {kind: question, title: A, question: unknown-1}\n"
        "  - {kind: poll, title: B, ask: Well?, options: [One]}\n"
        "  - {kind: number, title: C, ask: How many?, source: x}\n"
        "  - {kind: talk, title: D, text: Hello, colour: red}\n"
        "  - {kind: grid, title: E, ask: Which?, axes: {bits: [nf4, fp32]}, run: {}}\n"
        "  - {kind: wall, title: F, prompt: unknown-2}\n"
        "  - {kind: figure, title: G, figure: unknown-3}\n"
        "  - {kind: predict, title: J, ask: H?, unit: MB, quantity: peak-memory, run: {}, why: So.,"
        " concept: nothing}\n"
        "  - {kind: figure, title: I, figure: of-rank, slider: rank, ask: W?, source: x, value: 17}\n"
        "  - {kind: figure, title: H, figure: of-rank, set: {rank: 65}, slider: width, ask: W?, source: x}\n",
        "utf-8",
    )
    with pytest.raises(ContentError) as raised:
        Plans(
            find_question=find_question,
            runs=Runs(),
            grids=Grids(),
            grader=Grader(),
            figures=FIGURES,
            folder=tmp_path,
            own_folder=tmp_path / "plans",
        ).list_all()
    for part in (
        "minutes",
        "unknown-1",
        "2 to 6 options",
        "exactly one `check`",
        "unknown field `colour`",
        "A grid has ranks",
        "unknown-2",
        "unknown-3",
        "no source and no check",
        "unknown concept 'nothing'",
        "65",
        "no slider 'width'",
        "`value` must be",
        "does not stop at 17",
    ):
        assert part in str(raised.value)


def test_an_unknown_plan_is_named(shipped: Plans) -> None:
    with pytest.raises(LearnerError, match="no lesson plan 'nothing'"):
        shipped.find("nothing")
