"""An old address, or one typed by hand, opens its page, which says in a line what of it can't be shown."""

from dataclasses import replace

import pytest

from lora_lab.lab import Lab
from lora_lab.pages.compare import ComparePage
from lora_lab.pages.grid import GridPage
from lora_lab.pages.memory import MemoryPage
from lora_lab.pages.train import LabPage
from lora_lab.pages.xray import XrayPage
from lora_lab.runs.folder import RunFolder, delete_run
from lora_lab.runs.sweeps import delete_sweep
from lora_lab.views.memory_form import DEFAULTS
from lora_lab.xray.service import XrayService
from study.base.errors import LearnerError
from study.ports.context import Context
from tests.lora_lab import run_builders
from tests.lora_lab.pages import lab_visits
from tests.lora_lab.sweep_builders import sweep_of
from tests.visits import Visitor, primary, words

GONE = "20260101-120000-abcd"


@pytest.fixture
def run(lab: Lab) -> RunFolder:
    return run_builders.finished(lab.settings.runs_dir)


@pytest.fixture
def ana(context: Context, lab: Lab) -> lab_visits.Visitor:
    return lab_visits.Visitor(LabPage(context, lab, ask_for_cards=lab_visits.asked))


def test_a_run_that_was_deleted_is_said_to_be_gone(ana: lab_visits.Visitor, run: RunFolder) -> None:
    shown = words(ana.opens(f"/lab?run={GONE}"))
    assert f"The run {GONE} is no longer here. Choose one of “Earlier runs”" in shown
    assert "is no longer here" not in words(ana.opens(f"/lab?run={run.run_id}"))
    assert "is no longer here" not in words(ana.opens("/lab"))
    long = words(ana.opens(f"/lab?run={'x' * 500}"))
    assert "x" * 60 in long
    assert "x" * 61 not in long


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("rank=abc", ["rank=abc can't be used: rank must be a whole number, got 'abc'."]),
        (
            "rank=99999&bits=zzz",
            [
                "rank=99999 can't be used: rank must be 1 to 256, got 99,999.",
                "bits=zzz can't be used: bits must",
            ],
        ),
        ("preset=nope", ["preset=nope can't be used: a preset must be one of"]),
        ("preset=nope&rank=4", ["preset=nope can't be used"]),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_its_reason(
    ana: lab_visits.Visitor, query: str, said: list[str]
) -> None:
    shown = words(ana.opens(f"/lab?{query}"))
    for sentence in said:
        assert sentence in shown
    assert shown.count("can't be used") == len(said)
    assert shown.count("Choose another value; the form has the usual one until then.") == 1
    assert "can't be used" not in words(ana.opens("/lab?rank=4&bits=bf16&preset=instant"))


def test_starting_a_run_takes_back_what_was_wrong_in_the_address(ana: lab_visits.Visitor) -> None:
    ana.opens("/lab?rank=abc")
    assert ana.sends("start")["parts"]["trouble"] == ""


def fields(**chosen: str) -> dict[str, list[str]]:
    return {name: [value] for name, value in chosen.items()}


def test_will_it_fit_takes_back_what_was_wrong_in_the_address_once_the_form_changes(lab: Lab) -> None:
    ana = Visitor(MemoryPage(lab))
    assert "“Rank r” must be a whole number from 1 to 1,024, got 'abc'." in words(
        ana.opens("/memory?rank=abc")
    )
    form = fields(**DEFAULTS)
    assert (
        "trouble" not in ana.sends("draw", fields=form)["parts"]
    )  # the page asks this by itself as it opens
    assert "trouble" not in ana.sends("change", fields=form | fields(rank="0"))["parts"]
    assert ana.sends("change", fields=form)["parts"]["trouble"] == ""


def test_compare_takes_back_which_runs_are_gone_once_others_are_ticked(
    context: Context, lab: Lab, run: RunFolder
) -> None:
    ana = Visitor(ComparePage(context, lab))
    ana.opens(f"/compare?runs={run.run_id},{GONE}")
    ticked = fields(runs=run.run_id)
    assert "trouble" not in ana.sends("draw", fields=ticked)["parts"]
    assert ana.sends("tick", fields=ticked)["parts"]["trouble"] == ""


def test_the_x_ray_takes_back_which_runs_are_gone_once_another_is_chosen(
    context: Context, lab: Lab, run: RunFolder
) -> None:
    ana = Visitor(XrayPage(context, XrayService(lab), ask_for_cards=lab_visits.asked))
    ana.opens(f"/xray?run={GONE}")
    chosen = fields(run=run.run_id)
    assert "trouble" not in ana.sends("draw", fields=chosen)["parts"]
    assert ana.sends("choose", fields=chosen)["parts"]["trouble"] == ""
    assert f"The run {GONE} is no longer here." in words(
        ana.sends("choose", fields=fields(run=GONE))["parts"]["trouble"]
    )


def test_compare_names_the_runs_that_are_gone(context: Context, lab: Lab, run: RunFolder) -> None:
    second = run_builders.finished(lab.settings.runs_dir, after_seconds=9)
    ana = Visitor(ComparePage(context, lab))
    shown = words(ana.opens(f"/compare?runs={run.run_id},{GONE},{second.run_id}"))
    assert f"The run {GONE} is no longer here. The letters now refer to the remaining runs." in shown
    assert f"The run {GONE} is no longer here. Choose others below." in words(
        ana.opens(f"/compare?runs={GONE}")
    )
    assert "isn't here" not in words(ana.opens(f"/compare?runs={run.run_id},{second.run_id}"))


def test_the_x_ray_names_the_runs_that_are_gone(context: Context, lab: Lab, run: RunFolder) -> None:
    ana = Visitor(XrayPage(context, XrayService(lab), ask_for_cards=lab_visits.asked))
    said = f"The run {GONE} is no longer here. Shown is r=8 nf4-dq on tiny-random."
    assert said in words(ana.opens(f"/xray?run={GONE}"))
    assert said in words(ana.opens(f"/xray?run={run.run_id}&with={GONE}"))
    assert "isn't here" not in words(ana.opens(f"/xray?run={run.run_id}"))


def test_a_run_deleted_in_another_window_is_said_to_be_gone_before_another_one_takes_its_place(
    ana: lab_visits.Visitor, lab: Lab, run: RunFolder
) -> None:
    other = run_builders.finished(lab.settings.runs_dir, after_seconds=9)
    ana.opens(f"/lab?run={run.run_id}")
    assert "trouble" not in ana.sends("poll")["parts"]
    delete_run(run)
    polled = ana.sends("poll")["parts"]
    assert f"The run {run.run_id} is no longer here." in words(polled["trouble"])
    assert other.run_id in polled["runs"]


def test_compare_leaves_out_a_run_that_another_window_deletes(
    context: Context, lab: Lab, run: RunFolder
) -> None:
    second = run_builders.finished(lab.settings.runs_dir, replace(run.spec, rank=2), after_seconds=9)
    ana = Visitor(ComparePage(context, lab))
    ana.opens(f"/compare?runs={run.run_id},{second.run_id}")
    assert ana.sends("poll")["parts"].keys() == {"chat"}
    delete_run(second)
    polled = ana.sends("poll")["parts"]
    assert f"The run {second.run_id} is no longer here. The letters" in words(polled["trouble"])
    assert "r=2" not in words(polled["charts"] + polled["settings"])


def test_a_grid_that_is_gone_is_said_to_be_gone(context: Context, lab: Lab) -> None:
    ana = Visitor(GridPage(context, lab))
    first, second = (sweep_of(context.settings, after_seconds=at) for at in (0, 9))
    shown = words(ana.opens(f"/grid?sweep={first.sweep_id}"))
    assert "is no longer here" not in shown
    delete_sweep(first, context.settings.runs_dir)
    said = f"The grid {first.sweep_id} is no longer here. Choose one of “Earlier grids”"
    polled = ana.sends("poll")["parts"]
    assert said in words(polled["trouble"])
    assert second.sweep_id in polled["sweeps"]
    assert said in words(ana.opens(f"/grid?sweep={first.sweep_id}"))
    assert "is no longer here" not in words(ana.opens("/grid"))


def test_the_x_ray_of_a_run_that_another_window_deletes_does_not_start_one_of_another_run(
    context: Context, lab: Lab, run: RunFolder
) -> None:
    run_builders.finished(lab.settings.runs_dir, after_seconds=9)
    ana = Visitor(XrayPage(context, XrayService(lab), ask_for_cards=lab_visits.asked))
    ana.opens(f"/xray?run={run.run_id}")
    delete_run(run)
    with pytest.raises(LearnerError, match=rf"{run.run_id} is no longer here\. Choose another run"):
        ana.sends("start", fields=fields(run=run.run_id))


def test_before_the_first_result_the_x_ray_names_the_run_in_progress(context: Context, lab: Lab) -> None:
    ana = Visitor(XrayPage(context, XrayService(lab), ask_for_cards=lab_visits.asked))
    assert primary(ana.opens("/xray")) == ["Open the quick demo"]
    run = run_builders.training(lab.settings.runs_dir)
    run_builders.queued(lab.settings.runs_dir, after_seconds=5)
    html = ana.opens("/xray")
    assert "r=8 nf4-dq on tiny-random is training: step 3 of 20. Once it has ended" in words(html)
    assert primary(html) == ["Watch it"]
    assert f"run={run.run_id}" in html


def test_the_x_ray_says_why_a_run_of_its_address_cannot_be_x_rayed(
    context: Context, lab: Lab, run: RunFolder
) -> None:
    ana = Visitor(XrayPage(context, XrayService(lab), ask_for_cards=lab_visits.asked))
    going = run_builders.training(lab.settings.runs_dir, after_seconds=5)
    shown = words(ana.opens(f"/xray?run={going.run_id}"))
    assert "has not ended yet; its adapter can be X-rayed then. Shown is r=8 nf4-dq on tiny-random." in shown
    going.emit("failed", step=3, cause="killed", what="Killed.", do_next="Start again.")
    assert "has no adapter to X-ray. Shown is" in words(ana.opens(f"/xray?run={going.run_id}"))
    assert "to X-ray. Shown is" not in words(ana.opens(f"/xray?run={run.run_id}"))


SAME = "A run can't be compared with itself: this is the first run already. Choose another second run."


def test_the_x_ray_offers_and_takes_two_different_runs_only(
    context: Context, lab: Lab, run: RunFolder
) -> None:
    ana = Visitor(XrayPage(context, XrayService(lab), ask_for_cards=lab_visits.asked))
    assert SAME in words(ana.opens(f"/xray?run={run.run_id}&with={run.run_id}"))
    html = ana.opens("/xray")
    assert SAME not in words(html)
    assert html.count(f'value="{run.run_id}"') == 1  # it is offered as the first run only
    twice = fields(run=run.run_id) | {"with": [run.run_id]}
    reply = ana.sends("choose", fields=twice)
    assert SAME in words(reply["parts"]["second"])
    assert "with=" not in reply["url"]
    assert SAME not in words(ana.sends("choose", fields=twice | {"with": [""]})["parts"]["second"])


def test_the_second_run_that_becomes_the_first_is_no_longer_offered_as_the_second(
    context: Context, lab: Lab, run: RunFolder
) -> None:
    other = run_builders.finished(lab.settings.runs_dir, after_seconds=9)
    ana = Visitor(XrayPage(context, XrayService(lab), ask_for_cards=lab_visits.asked))
    ana.opens(f"/xray?run={run.run_id}&with={other.run_id}")
    second = ana.sends("choose", fields=fields(run=other.run_id) | {"with": [other.run_id]})["parts"][
        "second"
    ]
    assert SAME in words(second)
    assert f'value="{other.run_id}"' not in second
    assert f'value="{run.run_id}"' in second
