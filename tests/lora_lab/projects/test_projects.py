"""Projects: content that holds together, checks that compute, and a project from hypothesis to report."""

import json
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from starlette.datastructures import QueryParams

from lora_lab.grids.results import GridCell
from lora_lab.lab import Lab
from lora_lab.memory.ledger import Ledger
from lora_lab.pages.project_files import render_project_report
from lora_lab.pages.projects import ProjectsPage
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import find_shape
from lora_lab.projects.checks import ProjectEvidence, run_checks
from lora_lab.projects.content import MEASURED_AFTERWARDS, ProjectCheck, read_projects
from lora_lab.projects.service import ProjectService
from lora_lab.runs.extra_measurements import ExtraMeasurements, read_general_pairs
from lora_lab.settings.grid import Grid, parse_grid
from lora_lab.settings.grid_form import build_grid_address, parse_grid_address, read_grid_presets
from study.base.errors import LearnerError
from study.content.concepts import ConceptMap
from study.content.training_pairs import read_training_pairs
from study.content.yaml_reader import ContentError
from study.lessons.lesson import ProjectId
from study.ports.context import Context, find_visit
from tests.lora_lab.grid_builders import cell
from tests.lora_lab.run_builders import NOW
from tests.lora_lab.sweep_builders import TINY, fail, finish, finished_sweep, runs_of, sweep_of
from tests.visits import build_event, opened, words

SHAPE = find_shape("tiny-random")


def answers(check: ProjectCheck, *cells: GridCell, **more: Any) -> list[tuple[str, str]]:
    found = run_checks(
        [check], ProjectEvidence(cells=cells, shape=SHAPE, ledgers=more.pop("ledgers", []), **more)
    )
    return [(result.answer, result.text) for result in found]


def tiny(loss: float | None, **setting: Any) -> GridCell:
    return cell(loss, model="tiny-random", **setting)


# ---- content


def test_there_are_eight_projects_whose_concepts_are_on_the_map(concepts: ConceptMap) -> None:
    assert set(read_projects()) == set(get_args(ProjectId))
    named = {concept for project in read_projects().values() for concept in project.concepts}
    assert named <= set(concepts.by_id)


def test_every_grid_opens_filled_in_and_answers_its_project() -> None:
    for project in read_projects().values():
        for each in project.grids:
            query = QueryParams(build_grid_address(each.grid).partition("?")[2])
            assert parse_grid_address(dict(query)) == each.grid
            assert project.is_answered_by(each.grid)
        assert project.grids[-1].grid.base.model == "tiny-random"


def test_ranks_are_compared_at_one_scale() -> None:
    for project in read_projects().values():
        for grid in (each.grid for each in project.grids if "ranks" in each.grid.varied):
            assert len({spec.scaling for spec in grid.list_specs()}) == 1, project.id


def test_no_project_has_the_name_of_a_preset_grid() -> None:
    presets = {preset.name.rstrip("?") for preset in read_grid_presets()}
    named = [project.name for project in read_projects().values()]
    assert not [name for name in named for preset in presets if name.startswith(preset)]


def test_a_faulty_project_is_refused_with_all_that_is_wrong(tmp_path: Path) -> None:
    broken = tmp_path / "projects.yaml"
    broken.write_text(
        "- {id: forgetting, name: F, question: Q, background: B, ask: A, concepts: [nf4], source: S,"
        " varies: [bits], grids: [{name: G, about: A, base: {rank: 0}, axes: {}}],"
        " checks: [{check: peaks}]}\n"
    )
    with pytest.raises(ContentError) as raised:
        read_projects(broken)
    assert "isn't a grid: rank must be 1 to 256, got 0." in str(raised.value)
    assert "does not vary bits" in str(raised.value)
    assert "`axis` belongs to `differences` and `peaks`" in str(raised.value)


def test_the_general_questions_are_none_of_the_apps_own() -> None:
    own = {prompt for prompt, _ in read_training_pairs()}
    assert len(read_general_pairs()) == 12
    assert not {pair.prompt for pair in read_general_pairs()} & own


# ---- checks


def test_ranks_differ_only_beyond_the_seeds() -> None:
    check = ProjectCheck(check="differences", axis="rank")
    apart = [tiny(3 - rank / 10 + seed / 1000, rank=rank, seed=seed) for rank in (2, 8) for seed in (0, 1, 2)]
    [(answer, text)] = answers(check, *apart)
    assert answer == "yes"
    assert text.startswith("r=8 ends 0.600")
    alike = [tiny(3 + seed / 10, rank=rank, seed=seed) for rank in (2, 8) for seed in (0, 1, 2)]
    assert answers(check, *alike)[0][0] == "no"
    assert answers(check, tiny(3, rank=2), tiny(2, rank=8))[0][0] == "open"
    assert answers(check) == [("open", "Too little has finished to say.")]


def test_counts_of_runs_are_held_against_the_formula() -> None:
    right = count_parameters(SHAPE, rank=2, targets="all-linear").trainable
    check = ProjectCheck(check="counts")
    assert answers(check, replace(tiny(3, rank=2), trainable=right))[0][0] == "yes"
    [(answer, text)] = answers(check, replace(tiny(3, rank=2), trainable=right + 1))
    assert answer == "no"
    assert text.startswith("1 of 1 settings trained another number")


def test_peaks_are_compared_in_bytes_and_with_their_prediction() -> None:
    wide, narrow = tiny(3, bits="bf16"), tiny(3, bits="nf4")
    [(answer, text)] = answers(ProjectCheck(check="peaks", axis="bits"), wide, narrow)
    assert (answer, text) == (
        "yes",
        "nf4 peaks at 491 MB and bf16 at 791 MB: 300 MB apart, 38 % of the larger.",
    )
    together = [tiny(3, bits=each, shared_by=2) for each in ("bf16", "nf4")]
    assert (
        "Computed where they were trained side by side"
        in answers(ProjectCheck(check="peaks", axis="bits"), *together)[0][1]
    )
    assert answers(ProjectCheck(check="predicted"), *together)[0][0] == "open"
    [(answer, text)] = answers(ProjectCheck(check="predicted"), wide, narrow)
    assert answer == "yes"
    assert text.startswith("The largest difference is -1.01 %")


def test_the_part_that_changes_most_is_named() -> None:
    nothing = {"constants": 0, "gradients": 0, "optimizer": 0, "activations": 20, "logits": 0, "scratch": 0}
    ledgers = [Ledger(weights=100, adapters=1, **nothing), Ledger(weights=100, adapters=64, **nothing)]
    check = ProjectCheck(check="parts")
    [(answer, text)] = answers(check, tiny(3, rank=1), tiny(3, rank=64), ledgers=ledgers)
    assert answer == "no"
    assert "the largest part is weights, 83 % of the computed peak" in text
    assert text.endswith("adapters change most: 63 B more.")


def test_the_effects_of_rate_and_rank_are_compared_each_at_the_others_best() -> None:
    losses = {(2, 0.001): 3.0, (2, 0.004): 2.5, (8, 0.001): 2.9, (8, 0.004): 2.45}
    cells = [tiny(loss, rank=rank, learning_rate=rate) for (rank, rate), loss in losses.items()]
    [(answer, text)] = answers(ProjectCheck(check="rate-or-rank"), *cells)
    assert answer == "yes"
    assert "moves by 0.450 over the learning rates" in text
    assert "by 0.050 over the ranks" in text
    assert text.endswith("One seed each: the seed alone may move it as well.")


def test_a_run_is_broken_when_it_ends_above_its_start_or_on_no_number() -> None:
    good = replace(tiny(2.0, learning_rate=0.002), loss_before=3.0)
    bad = replace(tiny(4.0, learning_rate=0.2), loss_before=3.0)
    worst = tiny(None, learning_rate=2.0)
    broke, mended = answers(ProjectCheck(check="broken"), good, bad, worst)
    assert broke == ("yes", "From a learning rate of 0.2 on.")
    assert mended == ("yes", "Best at 0.002: held-out loss 3.000 → 2.000.")
    assert answers(ProjectCheck(check="broken"), bad)[1][0] == "no"
    lucky = replace(tiny(2.5, learning_rate=0.8), loss_before=3.0)
    broke, _ = answers(ProjectCheck(check="broken"), good, bad, lucky, worst)
    assert broke == ("yes", "At a learning rate of 0.2, 2, but not in every run from 0.2 on.")


def test_forgetting_and_merging_are_read_from_what_was_measured_afterwards() -> None:
    slow, fast = tiny(2.9, learning_rate=0.001), tiny(2.5, learning_rate=0.004)
    values = {
        slow.run_id: {"general_before": 2.0, "general_after": 2.01, "before": 3.0, "after": 2.9},
        fast.run_id: {"general_before": 2.0, "general_after": 2.3, "before": 3.0, "after": 2.5},
    }
    forgot, more = answers(ProjectCheck(check="forgotten"), slow, fast, afterwards=values)
    assert forgot == ("yes", "2 of 2 did; the loss on them moved by +0.010 to +0.300.")
    assert more[0] == "yes"
    ways = {"decoded_error": 3e-7, "requantized_error": 0.12, "decoded_loss": 2.5, "requantized_loss": 2.6}
    [(answer, text)] = answers(
        ProjectCheck(check="merged"), fast, afterwards={fast.run_id: {"before": 3.0, "after": 2.5, **ways}}
    )
    assert "by 0.12, 80 % of what was learned is left" in text
    assert answer == "yes"
    assert "the logits are off by 3e-07 of their size" in text
    unmeasured = ("open", "The finished runs are not measured for this yet.")
    assert answers(ProjectCheck(check="merged"), fast) == [unmeasured]
    assert answers(ProjectCheck(check="forgotten"), fast) == [unmeasured]


# ---- the page


@dataclass
class Ana:
    """A learner on the page of a project."""

    page: ProjectsPage
    query: str = "id=does-rank-matter"

    def opens(self, query: str = "") -> str:
        self.query = query or self.query
        return self.page.load(opened("browser-of-ana", self.query))

    def sends(self, html: str, act: str, **values: Any) -> dict[str, Any]:
        event = build_event(html, act, query=f"?{self.query}", **values)
        return dict(self.page.act(event, opened("browser-of-ana", self.query)))


@pytest.fixture
def service(context: Context, lab: Lab) -> ProjectService:
    return ProjectService(store=context.store, lab=lab)


@pytest.fixture
def ana_works(context: Context, service: ProjectService, ana: str) -> Ana:
    assert context.clock() >= NOW
    return Ana(ProjectsPage(context=context, service=service))


def later_grid(**axes: Any) -> Grid:
    return parse_grid(TINY, axes or {"ranks": [2, 8], "seeds": [0, 1]})


def test_the_grids_come_only_after_the_hypothesis(ana_works: Ana) -> None:
    html = ana_works.opens()
    assert "Grids to run appear here when your hypothesis is kept" in words(html)
    assert "/grid?" not in html
    with pytest.raises(LearnerError, match="The box is empty"):
        ana_works.sends(html, "hypothesis", fields={"text": ["  "]})
    typed = {"act": "draft", "kind": "hypothesis", "value": "Rank 8, I th", "project": "does-rank-matter"}
    ana_works.page.act(typed | {"query": ""}, opened("browser-of-ana"))
    assert "Rank 8, I th</textarea>" in ana_works.opens()
    reply = ana_works.sends(html, "hypothesis", fields={"text": ["Rank <8> wins by 0.1."]})
    assert reply["focus"] == "#runs"
    assert "Rank &lt;8&gt; wins by 0.1." in reply["html"]
    assert 'href="/grid?' in reply["html"]
    assert "I th</textarea>" not in reply["html"]


def test_what_runs_and_its_time_are_said_beside_the_hypothesis(ana_works: Ana, context: Context) -> None:
    said = words(ana_works.opens())
    assert "Four ranks and three seeds ranks 1, 4, 16, 64; bit width nf4-dq; seeds 0, 1, 2." in said
    assert "Its time is not known yet: no similar run has finished here." in said
    finished_sweep(context.settings, parse_grid(TINY, {"bits": ["nf4-dq"], "ranks": [2]}))
    said = words(ana_works.opens())
    assert re.search(r"In seconds ranks 1, 8; bit width nf4-dq; .* mean nothing\. About \d+ s here\.", said)


def test_a_grid_none_of_whose_runs_finished_is_no_ground_for_a_conclusion(
    ana_works: Ana, context: Context
) -> None:
    profile = context.store.profiles.open_for_browser("browser-of-ana", now=NOW).id
    context.store.projects.write(profile, "does-rank-matter", "hypothesis", "8.", at=NOW - timedelta(hours=1))
    for run in runs_of(context.settings, sweep_of(context.settings, later_grid())):
        fail(run)
    assert "No run of the grid has finished; run another grid." in words(ana_works.opens())


def test_a_project_goes_from_hypothesis_over_runs_to_a_report(
    ana_works: Ana, service: ProjectService, context: Context
) -> None:
    before = sweep_of(context.settings, later_grid())  # ran before anything was predicted
    early = NOW - timedelta(days=1)
    profile = context.store.profiles.open_for_browser("browser-of-ana", now=early).id
    assert before.sweep_id not in ana_works.opens()
    context.store.projects.write(profile, "does-rank-matter", "hypothesis", "Rank 8 wins.", at=early)
    sweep = sweep_of(context.settings, later_grid(), after_seconds=60)
    html = ana_works.opens(f"id=does-rank-matter&sweep={sweep.sweep_id}")
    assert 'data-poll="2000"' in html
    assert "0 of 4 runs have ended" in words(html)
    assert "A grid is under way: 0 of 4 runs have finished." in words(html)
    assert "Not all runs have ended: what you conclude now may not hold." in words(html)
    assert '<details class="write" open>' not in html
    assert f'href="/grid?sweep={sweep.sweep_id}#sweep"' in html
    with pytest.raises(LearnerError, match="No run of this project has ended yet"):
        ana_works.sends(html, "conclude", fields={"text": ["Done."]})

    for run in runs_of(context.settings, sweep):
        finish(run, 3 - run.spec.rank / 10 + run.spec.seed / 1000)
    done = ana_works.page.act({"act": "poll", "query": f"?{ana_works.query}"}, opened("browser-of-ana"))
    assert done["say"] == "Everything is measured. The results are ready."
    assert "Yes. r=8 ends 0.600" in words(done["html"])
    assert "A grid was run; the conclusion is missing." in words(done["html"])
    assert '<details class="write" open>' in done["html"]
    assert "data-poll" not in done["html"]

    reply = ana_works.sends(done["html"], "conclude", fields={"text": ["Rank 8 it was, on this model."]})
    assert 'href="/projects/does-rank-matter/report.html"' in reply["html"]
    ana = find_visit(context, browser_id="browser-of-ana", query={})
    progress = service.read_progress(ana, service.find("does-rank-matter"))
    report = render_project_report(service, progress, by="Ana")
    said = words(report)
    for part in (
        "Rank 8 wins.",
        "before the runs began",
        "Rank 8 it was",
        "r=8 ends 0.600",
        sweep.sweep_id,
        "torch",
    ):
        assert part in said
    assert report.count("<figure>") >= 3
    assert not re.search(r"(?:src|href)=\"http", report)
    assert service.build_link(ana, "does-rank-matter").done
    assert "Finished: your report is ready." in words(ana_works.opens("view=list"))


def test_ranks_that_have_finished_lead_to_an_xray_of_the_lowest_and_the_highest(
    ana_works: Ana, context: Context
) -> None:
    profile = context.store.profiles.open_for_browser("browser-of-ana", now=NOW).id
    early = NOW - timedelta(hours=1)
    context.store.projects.write(profile, "does-rank-matter", "hypothesis", "First.", at=early)
    sweep = finished_sweep(context.settings, later_grid())
    runs = runs_of(context.settings, sweep)
    low, high = (pick(runs, key=lambda run: run.spec.rank).run_id for pick in (min, max))
    html = ana_works.opens()
    assert f'href="/xray?run={low}&amp;with={high}"' in html
    assert "X-ray the lowest and the highest rank" in words(html)


def test_a_hypothesis_written_while_it_runs_is_said_to_be_no_prediction(
    ana_works: Ana, context: Context
) -> None:
    profile = context.store.profiles.open_for_browser("browser-of-ana", now=NOW).id
    log = context.store.projects
    log.write(profile, "does-rank-matter", "hypothesis", "First.", at=NOW - timedelta(hours=1))
    finished_sweep(context.settings, later_grid())
    log.write(profile, "does-rank-matter", "hypothesis", "Second.", at=NOW + timedelta(hours=1))
    said = words(ana_works.opens())
    assert "First. Written" in said
    assert "Written after they had begun, so no prediction of them: Second." in said


def test_a_grid_that_varies_something_else_is_no_answer(ana_works: Ana, context: Context) -> None:
    profile = context.store.profiles.open_for_browser("browser-of-ana", now=NOW).id
    early = NOW - timedelta(hours=1)
    context.store.projects.write(profile, "does-rank-matter", "hypothesis", "First.", at=early)
    finished_sweep(context.settings, later_grid(ranks=[2, 8]))
    assert "3 · Results" not in words(ana_works.opens())


def test_runs_that_must_be_measured_once_more_offer_it_and_show_what_came_of_it(
    ana_works: Ana, context: Context
) -> None:
    profile = context.store.profiles.open_for_browser("browser-of-ana", now=NOW).id
    context.store.projects.write(profile, "merge-it", "hypothesis", "fp32.", at=NOW - timedelta(hours=1))
    sweep = finished_sweep(context.settings, later_grid(bits=["nf4", "fp4"]))
    runs = runs_of(context.settings, sweep)
    for run in runs:
        run.adapter_path.mkdir()
        (run.adapter_path / "adapter_config.json").write_text("{}")
    html = ana_works.opens("id=merge-it")
    assert "Measure 2 finished runs for this project" in words(html)
    ways = {"decoded_error": 3e-7, "bf16_error": 1e-3, "requantized_error": 0.12}
    ways |= {"decoded_loss": 2.5, "bf16_loss": 2.5, "requantized_loss": 2.6, "after": 2.5}
    ExtraMeasurements(runs[0]).path.write_text(json.dumps({"values": ways}))
    ExtraMeasurements(runs[1]).path.write_text(json.dumps({"problem": "There was no memory."}))
    said = words(ana_works.opens("id=merge-it"))
    assert "Merged and kept in fp32, is it the trained model? (nf4) Yes." in said
    assert "A run could not be measured: There was no memory." in said
    assert {"forgotten", "merged"} == MEASURED_AFTERWARDS


def test_a_project_that_is_not_there_is_named(ana_works: Ana) -> None:
    with pytest.raises(LearnerError, match="no project 'fly'"):
        ana_works.opens("id=fly")


def test_a_broken_run_shows_its_loss_over_the_steps(
    service: ProjectService, context: Context, ana_works: Ana
) -> None:
    early = NOW - timedelta(days=1)
    profile = context.store.profiles.open_for_browser("browser-of-ana", now=early).id
    context.store.projects.write(profile, "break-and-mend", "hypothesis", "0.2 breaks it.", at=early)
    sweep = sweep_of(context.settings, later_grid(learning_rates=[0.002, 0.2]), after_seconds=60)
    assert "<svg" not in ana_works.opens("id=break-and-mend")
    for run, losses in zip(runs_of(context.settings, sweep), ([3.0, 2.0], [3.0, 9.0]), strict=True):
        for step, loss in enumerate(losses, start=1):
            run.emit(
                "step",
                step=step,
                loss=loss,
                grad_norm=1.0,
                tokens=40,
                seconds=0.5,
                live_bytes=7,
                peak_bytes=9,
            )
    html = ana_works.opens("id=break-and-mend")
    assert "The training loss ends above its first step at a learning rate of 0.2 measured" in words(html)
    assert "0.2 9.00" in html  # in the alternative text
