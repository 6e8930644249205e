"""The Compare page's handlers: which runs are beside each other, what differs, what they answered."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from lora_lab.data.datasets import Example, split_examples
from lora_lab.engine.chat import MOST_RUNS, select_shared_base
from lora_lab.lab import Lab
from lora_lab.pages.compare import ComparePage
from lora_lab.runs.folder import RunFolder, create_run, delete_run
from lora_lab.views.comparison import MOST_RUNS as MOST_COMPARED
from study.base.errors import LearnerError
from study.ports.context import Context
from tests import visits
from tests.lora_lab import run_builders
from tests.lora_lab.pages.lab_visits import stacked
from tests.lora_lab.sweep_builders import begin, fail, finish, runs_of, sweep_of
from tests.visits import words

LIGHT = run_builders.TINY


class Visitor(visits.Visitor[ComparePage]):
    """One browser on the page."""


@pytest.fixture
def ana(context: Context, lab: Lab) -> Visitor:
    return Visitor(ComparePage(context, lab))


def some(lab: Lab, *changed: dict[str, Any]) -> list[RunFolder]:
    """Finished runs that differ from the usual tiny one."""
    return [
        run_builders.finished(lab.settings.runs_dir, replace(LIGHT, **change), after_seconds=at)
        for at, change in enumerate(changed)
    ]


def address(found: list[RunFolder]) -> str:
    return f"/compare?runs={','.join(run.run_id for run in found)}"


def test_a_newcomer_is_sent_to_the_lab(ana: Visitor) -> None:
    html = ana.opens("/compare")
    assert "There is no run yet" in words(html)
    assert '<a class="button primary" href="/lab?preset=demo">' in html
    assert 'href="/lab"' in html


def test_one_run_alone_asks_for_a_second_one(ana: Visitor, lab: Lab) -> None:
    one, other = some(lab, {"rank": 2}, {"rank": 16})
    assert "Tick a second one" in words(ana.opens(address([one])))
    assert "Tick a second one" not in words(ana.opens(address([one, other])))


def test_runs_in_the_address_are_overlaid_in_four_charts_with_what_they_show(ana: Visitor, lab: Lab) -> None:
    found = some(lab, {"rank": 2}, {"rank": 16})
    html = ana.opens(address(found))
    assert re.findall(r'id="compare-([a-z]+)"', html) == ["loss", "memory", "gradient", "speed"]
    assert html.count("<svg") == 4
    shown = words(html)
    assert "A r=2 nf4-dq on tiny-random" in shown
    assert "Peak memory: 990 kB in each" in shown
    assert "Training loss: 3.73 in each" in shown
    longer = run_builders.training(lab.settings.runs_dir, steps=9, after_seconds=9)
    lower = words(ana.opens(address([found[0], longer])))
    assert re.search(r"Training loss: B is lower at 3\.[0-6]\d; A 3\.73", lower)


def test_the_speeds_line_ends_at_the_speed_of_its_title_and_huge_gradients_are_short(
    ana: Visitor, lab: Lab
) -> None:
    run = run_builders.queued(lab.settings.runs_dir)
    run_builders.emit_started(run)
    for number, seconds in enumerate((4.0, 0.5, 0.25, 1.0), start=1):
        run_builders.emit_step(
            run, number, seconds=seconds, grad_norm=3_096_389.25 / number, peak_bytes=990_000
        )
    html = ana.opens(address([run]))
    assert "Speed over the whole run: 69 tokens per second" in words(html)  # 120 tokens in 1.75 s
    assert "Latest: A 69 at step 4" in html
    assert "Gradient norm before clipping: 3.10M at most" in words(html)
    assert re.search(r">[123](\.\d+)?M</text>", html)


def own_file(lab: Lab, losses: tuple[float, float], *, examples: int = 1, **changed: Any) -> RunFolder:
    """A run on a learner's file with these held-out losses."""
    lines = [Example(prompt=f"What is {number}?", answer=str(number)) for number in range(5)]
    data = split_examples(lines, label="facts.csv")
    spec = replace(LIGHT, data=data.digest, **changed)
    run = create_run(lab.settings.runs_dir, spec, data, now=run_builders.NOW)
    run.emit("queued")
    run_builders.train(run)
    run.emit("evaluated", loss_before=losses[0], loss_after=losses[1], examples=examples)
    run.emit("finished", step=3)
    return run


def test_held_out_losses_come_first_with_what_they_cannot_tell(ana: Visitor, lab: Lab) -> None:
    found = [own_file(lab, (3.5, 3.38), rank=1), own_file(lab, (3.5, 3.95), rank=8)]
    html = ana.opens(address(found))
    shown = words(html)
    assert "Held-out loss: A ends lower, 3.50 → 3.38; B 3.50 → 3.95. One seed each shows no more" in shown
    assert "140 rows to train on, 1 held out: too few to conclude." in shown
    assert html.index('id="held-out"') < html.index('id="compare-loss"')


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            [{"rank": rank, "seed": seed} for rank in (1, 8) for seed in (0, 1)],
            "Runs that differ in their seed alone",
        ),
        ([{"seed": 0}, {"seed": 1}], "Runs that differ in their seed alone show how far luck goes."),
        ([{"rank": 1}, {"rank": 8}], "One seed each shows"),
        ([{"rank": 1}, {"rank": 8}, {"rank": 8, "seed": 1}], "Runs that differ in their seed alone"),
        ([{"rank": 1}, {"model": "smollm2-135m"}], "They are of other models or other data"),
    ],
)
def test_seeds_and_data_decide_what_held_out_losses_may_say(
    ana: Visitor, lab: Lab, changes: list[dict[str, Any]], said: str
) -> None:
    shown = words(ana.opens(address(some(lab, *changes))))
    cautions = ("One seed each", "Runs that differ", "They are of other")
    assert [each for each in cautions if each in shown] == [each for each in cautions if said[:9] == each[:9]]
    assert said in shown
    assert "Held-out loss: 5.50 → 2.25 in each." in shown


def test_close_losses_get_a_third_digit_and_a_loss_that_is_no_number_ranks_nothing(
    ana: Visitor, lab: Lab
) -> None:
    found = [
        own_file(lab, (3.5, 3.381), rank=1, examples=50),
        own_file(lab, (3.5, 3.384), rank=8, examples=50),
    ]
    shown = words(ana.opens(address(found)))
    assert "A ends lower, 3.500 → 3.381; B 3.500 → 3.384." in shown
    assert "too few" not in shown
    broken = own_file(lab, (3.5, float("nan")))
    assert "Held-out loss: 3.50 → 3.38. " in words(ana.opens(address([found[0], broken])))
    assert 'id="held-out"' not in ana.opens(address([broken]))


def test_data_is_shown_by_the_name_of_its_file(ana: Visitor, lab: Lab) -> None:
    own = own_file(lab, (3.5, 3.4))
    html = ana.opens(address([own, *some(lab, {})]))
    assert "≠ differs: data facts.csv the app's own cards" in words(html)
    other = create_run(
        lab.settings.runs_dir,
        replace(LIGHT, data="0123456789ab"),
        split_examples([Example(prompt=str(each), answer="?") for each in range(5)], label="facts.csv"),
        now=run_builders.NOW,
    )
    other.emit("queued")
    shown = words(ana.opens(address([own, other])))
    assert f"differs: data facts.csv ({own.spec.data}) facts.csv (0123456789ab)" in shown


def test_a_run_that_shared_its_steps_claims_no_peak_of_its_own(ana: Visitor, lab: Lab) -> None:
    shared, alone = run_builders.side_by_side(lab.settings.runs_dir), *some(lab, {"rank": 2})
    shown = words(ana.opens(address([shared, alone])))
    assert "peak memory 1.99 MB for 3 side by side 990 kB" in shown
    of_what = "Peak memory of each process (runs side by side share one):"
    assert f"{of_what} from 990 kB (B) to 1.99 MB (A)" in shown
    html = ana.opens(address([shared]))
    assert f"{of_what} 1.99 MB" in words(html)
    assert "Waiting for the first step" not in html


def test_runs_of_one_grid_are_told_apart_by_their_seeds(ana: Visitor, lab: Lab) -> None:
    html = ana.opens(address(some(lab, {"seed": 1}, {"seed": 2})))
    for seed in (1, 2):
        assert words(html).count(f"seed {seed}") >= 2, "in the list and in the legend"


def test_a_run_on_own_data_is_told_from_one_on_the_apps_cards(ana: Visitor, lab: Lab) -> None:
    own = some(lab, {"rank": 2})[0]
    mine = run_builders.finished(
        lab.settings.runs_dir, replace(own.spec, data="0123456789ab"), after_seconds=60
    )
    (mine.path / "data.json").write_text(json.dumps({"label": "mine.jsonl", "digest": "0123456789ab"}))
    html = ana.opens(address([own, mine]))
    assert len(re.findall(r'aria-label="Compare [^"]*· data mine.jsonl, of ', html)) == 1
    assert len(re.findall(r'aria-label="Compare [^"]* · seed 0, of ', html)) == 1


def test_cells_that_were_never_measured_are_not_in_the_list_unless_they_are_compared(
    ana: Visitor, lab: Lab
) -> None:
    measured, failed, cancelled, running, *_ = runs_of(lab.settings, sweep_of(lab.settings))
    finish(measured, 2.5)
    fail(failed)
    cancelled.emit("stopped", step=0)
    begin(running)
    alone = run_builders.failed(lab.settings.runs_dir, after_seconds=-60)
    listed = re.findall(r'id="tick-(.*?)"', ana.opens("/compare"))
    assert sorted(listed) == sorted(run.run_id for run in (measured, running, alone))
    assert f'id="tick-{failed.run_id}"' in ana.opens(address([failed]))


def test_a_phone_names_every_value_of_the_list(ana: Visitor, lab: Lab) -> None:
    some(lab, {"rank": 2})
    columns = ["Held-out loss", "Started", "State", "Steps"]
    assert stacked(ana.opens("/compare")) == [(["Run", *columns], columns)]


def test_the_runs_of_the_address_come_first_in_the_list_and_then_the_newest(ana: Visitor, lab: Lab) -> None:
    old, middle, new = some(lab, {"rank": 2}, {"rank": 4, "batch": 2}, {"rank": 8})
    html = ana.opens(address([old]))
    assert re.findall(r'id="tick-(.*?)"', html) == [old.run_id, new.run_id, middle.run_id]
    assert words(html).count("batch") == words(html).count("seed 0 · batch 2 examples") + 1, (
        "the odd one alone"
    )


def test_only_what_differs_is_marked_and_not_by_colour_alone(ana: Visitor, lab: Lab) -> None:
    found = some(lab, {"rank": 2, "alpha": 16.0}, {"rank": 16, "alpha": 16.0, "seed": 3})
    html = ana.opens(address(found))
    marked = re.findall(r'<tr class="differs"><th scope="row">.*?differs: </span>(.*?)</th>', html)
    assert marked == ["rank", "alpha", "seed"]
    assert "Settings: 3 differ" in words(html)
    assert "held-out loss 5.50 → 2.25 5.50 → 2.25" in words(html)


def test_equal_runs_are_said_to_be_equal(ana: Visitor, lab: Lab) -> None:
    shown = words(ana.opens(address(some(lab, {}, {}))))
    assert "Settings: all the same" in shown
    assert re.search(r"Gradient norm before clipping: [\d.]+ at most, in each", shown)


def test_answers_to_the_same_prompt_stand_beside_each_other(ana: Visitor, lab: Lab) -> None:
    found = some(lab, {"rank": 2}, {"rank": 16})
    answer(found[1], tuned="Kept as it is.", base="<b>W</b>")
    shown = words(ana.opens(address(found)))
    assert "What is W? Reference answer Frozen. <b>W</b> The frozen weight. Kept as it is." in shown


def test_bases_that_answer_differently_are_not_shown_as_one(ana: Visitor, lab: Lab) -> None:
    found = some(lab, {"rank": 2}, {"bits": "fp32"})
    answer(found[1], tuned="Kept.", base="Another base.")
    shown = words(ana.opens(address(found)))
    assert "their bases answer differently" in shown
    assert "Its base Another base." in shown


def test_runs_that_were_asked_other_prompts_can_be_asked_the_same_one(ana: Visitor, lab: Lab) -> None:
    found = some(lab, {"rank": 2}, {"rank": 16})
    answer(found[1], prompt="What is A?", tuned="Wide.", base="A.")
    assert "asked different prompts after training" in words(ana.opens(address(found)))


def answer(run: RunFolder, *, tuned: str, base: str, prompt: str = "What is W?") -> None:
    sample = {"prompt": prompt, "reference": "Frozen.", "base": base, "tuned": tuned}
    (run.path / "samples.json").write_text(json.dumps({"samples": [sample]}), "utf-8")


def test_two_runs_lead_to_an_xray_of_both(ana: Visitor, lab: Lab) -> None:
    first, second = some(lab, {"rank": 2}, {"rank": 16})
    html = ana.opens(address([first, second]))
    assert f'href="/xray?run={first.run_id}&amp;with={second.run_id}"' in html
    assert f'href="/xray?run={second.run_id}&amp;with={first.run_id}"' in html
    assert f'href="/xray?run={first.run_id}"' in ana.opens(address([first]))


def test_ticking_changes_address_and_charts_and_letters_stay(ana: Visitor, lab: Lab) -> None:
    first, second, third = some(lab, {"rank": 1}, {"rank": 2}, {"rank": 3})
    ana.opens(address([second]))
    reply = ana.sends("tick", fields={"runs": [third.run_id, second.run_id, first.run_id]})
    assert reply["url"] == address([second, third, first])
    assert "A r=2 nf4-dq" in words(reply["parts"]["charts"])
    assert reply["say"] == "3 runs are compared."  # what changed stands far below the tick
    fewer = ana.sends("tick", fields={"runs": [first.run_id]})
    assert fewer["say"] == "1 run is compared."
    assert fewer["url"] == address([first])
    assert ana.sends("tick", fields={})["url"] == "/compare"


def test_the_way_back_is_to_the_first_of_the_runs_that_are_ticked(ana: Visitor, lab: Lab) -> None:
    first, second = some(lab, {"rank": 1}, {"rank": 2})
    assert f'<a href="/lab?run={second.run_id}">' in ana.opens(address([second]))
    back = ana.sends("tick", fields={"runs": [first.run_id]})["parts"]["back"]
    assert words(back) == "← Back to the run r=1 nf4-dq on tiny-random"
    assert f'<a href="/lab?run={first.run_id}">' in back
    assert not words(ana.sends("tick", fields={})["parts"]["back"])


def test_a_seventh_run_is_refused_and_an_address_with_more_shows_six(ana: Visitor, lab: Lab) -> None:
    found = some(lab, *({"rank": rank} for rank in range(1, MOST_COMPARED + 2)))
    with pytest.raises(LearnerError, match="7 runs are ticked; 6 fit"):
        ana.sends("tick", fields={"runs": [run.run_id for run in found]})
    html = ana.opens(address(found))
    assert html.count("</svg>") == 4
    assert "F r=6" in words(html)
    assert (
        "r=7 nf4-dq on tiny-random 4 March 2026, 10:00, finished"
        not in words(html).partition("Settings")[0][-900:]
    )


def test_an_address_with_runs_that_are_gone_shows_the_others(ana: Visitor, lab: Lab) -> None:
    found = some(lab, {"rank": 2})
    html = ana.opens(f"/compare?runs=../../etc,nothing,{found[0].run_id},{found[0].run_id}&ask=gone")
    assert "A r=2 nf4-dq" in words(html)
    assert "B r=" not in words(html)


def test_running_runs_move_and_ended_ones_are_not_drawn_again(ana: Visitor, lab: Lab) -> None:
    ended = some(lab, {"rank": 2})
    ana.opens(address(ended))
    assert set(ana.sends("poll")["parts"]) == {"chat"}
    going = run_builders.training(lab.settings.runs_dir, after_seconds=9)
    ana.opens(address([*ended, going]))
    before = ana.sends("poll")["parts"]["charts"]
    run_builders.train(going)
    assert ana.sends("poll")["parts"]["charts"] != before


def test_a_run_without_a_step_yet_has_a_column_and_no_line(ana: Visitor, lab: Lab) -> None:
    waiting = run_builders.queued(lab.settings.runs_dir, after_seconds=9)
    shown = words(ana.opens(address([*some(lab, {"rank": 2}), waiting])))
    assert "B r=8 nf4-dq" in shown
    assert "queued" in shown


# ---- what can be asked


def test_runs_of_the_first_ones_base_are_asked_and_the_others_named(ana: Visitor, lab: Lab) -> None:
    found = some(lab, {"rank": 2}, {"bits": "int8"}, {"rank": 16})
    shown = words(ana.opens(address(found)))
    assert (
        "from A r=2 nf4-dq on tiny-random and C r=16 nf4-dq on tiny-random. Left out: B (another bit width)."
        in shown
    )


def test_four_at_most_share_one_question(lab: Lab) -> None:
    found = some(lab, *({"rank": rank} for rank in range(1, 7)))
    assert select_shared_base(found) == found[:MOST_RUNS]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"prompt": [" "]}, "nothing to ask yet"),
        ({"temperature": ["9"]}, "temperature must be 0 to 2, got 9"),
        ({"temperature": ["warm"]}, "temperature must be a number"),
        ({"temperature": ["nan"]}, "temperature must be 0 to 2"),
        ({"seed": ["-1"]}, "seed must be a whole number"),
        ({"seed": ["99999999999"]}, "seed must be 0 to"),
        ({"prompt": ["x" * 2001]}, r"2,001 characters\. Shorten it to at most 2,000"),
    ],
)
def test_a_question_that_cannot_be_asked_says_why(
    ana: Visitor, lab: Lab, changed: dict[str, list[str]], said: str
) -> None:
    ana.opens(address(some(lab, {"rank": 2})))
    form = {"prompt": ["Why?"], "seed": ["0"], "temperature": ["0"]} | changed
    with pytest.raises(LearnerError, match=said):
        ana.sends("ask", fields=form)


def test_runs_without_an_adapter_cannot_be_asked(ana: Visitor, lab: Lab) -> None:
    ana.opens(address([run_builders.training(lab.settings.runs_dir)]))
    with pytest.raises(LearnerError, match="None of these runs has an adapter"):
        ana.sends("ask", fields={"prompt": ["Why?"]})
    with pytest.raises(LearnerError, match="the action 'dance'"):
        ana.sends("dance")


def test_a_question_is_shown_on_when_another_window_deletes_a_run_that_was_asked(
    ana: Visitor, lab: Lab
) -> None:
    kept, deleted = some(lab, {"rank": 2}, {"rank": 16})
    lab.chat.close()  # so that nobody answers
    ana.opens(address([kept, deleted]))
    ana.sends("ask", fields={"prompt": ["Why?"]})
    delete_run(deleted)
    assert "Your question waits" in words(ana.sends("poll")["parts"]["chat"])
    assert "Your question waits" in words(ana.opens(f"/compare{ana.query}"))
    lab.chat.stop(ana.query.rpartition("ask=")[2])
    assert "Stopped. “Why?”" in words(ana.sends("poll")["parts"]["chat"])
