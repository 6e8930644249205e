"""The Grid page's handlers as the plain functions they are: what each press changes, and what it says."""

import base64
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html import unescape
from typing import Any

import pytest

from lora_lab.lab import Lab
from lora_lab.pages.grid import GridPage
from lora_lab.runs import separate_files
from lora_lab.runs.grouping import take_cells
from lora_lab.settings.grid import parse_grid
from lora_lab.settings.grid_form import parse_grid_form, read_grid_presets
from study.base.errors import LearnerError
from study.io import separate_reading
from study.ports.context import Context
from tests.lora_lab.data.pairs import PAIRS, jsonl
from tests.lora_lab.pages.grid_visits import TickForm, Visitor, fields_of
from tests.lora_lab.pages.lab_visits import part, stacked
from tests.lora_lab.sweep_builders import AXES, begin, finished_sweep, runs_of, sweep_of, tiny_grid
from tests.study.io import readers
from tests.visits import build_event, words
from tests.waiting import wait_for


@pytest.fixture
def ana(context: Context, lab: Lab) -> Visitor:
    """A learner's browser."""
    return Visitor(GridPage(context, lab))


# ---- setting up


@pytest.mark.parametrize("preset", read_grid_presets(), ids=[preset.id for preset in read_grid_presets()])
def test_what_the_form_shows_is_what_the_address_says(ana: Visitor, preset: Any) -> None:
    assert parse_grid_form(TickForm(ana.opens(f"/grid?preset={preset.id}")).values) == preset.grid


def test_a_grid_of_one_seed_offers_itself_with_three(ana: Visitor, context: Context) -> None:
    one = finished_sweep(context.settings, tiny_grid(ranks=[2, 8], seeds=[4]))
    html = ana.opens(f"/grid?sweep={one.sweep_id}")
    offered = re.search(r'id="three-seeds" href="([^"]+)"', html)
    assert offered
    fresh = TickForm(ana.opens(unescape(offered[1]))).values
    assert parse_grid_form(fresh).list_specs() == replace(one.grid, seeds=(4, 5, 6)).list_specs()
    several = finished_sweep(context.settings, tiny_grid(ranks=[2, 8], seeds=[0, 1]))
    assert "three-seeds" not in ana.opens(f"/grid?sweep={several.sweep_id}")


def test_the_whole_grid_is_counted_and_its_memory_computed_before_it_starts(ana: Visitor) -> None:
    cost = part(
        ana.sends("change", tiny_grid(ranks=[2, 8, 32], bits=["nf4", "bf16"], seeds=[0, 1, 2])), "cost"
    )
    assert "3 ranks × 3 seeds × 2 bit widths = 18 cells" in cost
    assert "not known yet" in cost
    assert re.search(r"at the largest cell's peak \(r=32, bf16\)", cost)
    assert re.search(r"nf4 [\d.]+ MB [\d.]+ MB [\d.]+ MB", cost)


def test_a_list_that_cannot_be_read_says_which_and_keeps_the_address(ana: Visitor) -> None:
    reply = ana.sends("change", fields=fields_of(tiny_grid()) | {"ranks": ["2, 9999"]})
    assert "“Ranks r”: each must be 1 to 256, got 9,999." in part(reply, "cost")
    empty = fields_of(tiny_grid()) | {"ranks": [""], "seq_len_tokens": [""]}
    reply = ana.sends("change", fields=empty)
    assert "“Ranks r”, “length, tokens”: nothing is chosen." in part(reply, "cost")
    assert "url" not in reply


@pytest.mark.parametrize(
    ("seeds", "said"), [([0], "One seed can't tell"), ([0, 1], "Two seeds can tell only a large difference")]
)
def test_too_few_seeds_are_named_before_the_start(ana: Visitor, seeds: list[int], said: str) -> None:
    assert said in part(ana.sends("change", tiny_grid(ranks=[2, 8], seeds=seeds)), "cost")
    assert said not in part(ana.sends("change", tiny_grid(ranks=[2, 8], seeds=[0, 1, 2])), "cost")


def test_the_form_offers_one_choice_of_the_scale_and_the_command_holds_only_that(ana: Visitor) -> None:
    sent = TickForm(ana.opens("/grid")).values
    assert sent["scale"] == ["alpha_per_rank"]
    command = part(ana.sends("change", fields=sent | {"alpha": ["64"]}), "cost")
    assert "--alpha-per-rank 2" in command
    assert "--alpha 64" not in command
    chosen = ana.sends("change", fields=sent | {"scale": ["alpha"], "alpha": ["64"]})
    assert "--alpha 64" in part(chosen, "cost")
    assert "--alpha-per-rank" not in part(chosen, "cost")
    assert TickForm(ana.opens(chosen["url"])).values["scale"] == ["alpha"]


def test_a_race_of_variants_at_one_rate_is_warned_of_and_one_press_sweeps_the_rates(ana: Visitor) -> None:
    race = tiny_grid(variants=["lora", "dora"], seeds=[0, 1, 2])
    assert "A race of variants at a single learning rate misleads" in part(ana.sends("change", race), "cost")
    reply = ana.sends("rates", race)
    swept = parse_grid_form(TickForm(reply["html"]).values)
    assert swept.learning_rates == (5e-4, 2e-3, 8e-3)
    assert swept.variants == ("lora", "dora")
    assert ana.asked["learning_rates"] == "0.0005,0.002,0.008"
    assert "misleads" not in words(reply["html"])


# ---- what is shown


def test_the_pages_call_a_grid_a_grid_and_leave_sweep_to_the_command(ana: Visitor, context: Context) -> None:
    empty = words(ana.opens("/grid"))
    sweep = finished_sweep(context.settings, tiny_grid(variants=["lora", "dora"]))
    shown = words(ana.opens(f"/grid?sweep={sweep.sweep_id}"))
    assert "3 · This grid" in shown
    assert "6 · Earlier grids" in shown
    assert "sweep" not in f"{empty} {shown}".replace("lora_lab sweep", "").lower()


def test_bit_widths_have_the_lab_pages_names_with_the_short_ones_that_tables_use(ana: Visitor) -> None:
    shown = words(ana.opens("/grid"))
    for name in ("4-bit NF4 + double quantization (nf4-dq)", "8-bit HQQ (hqq8)", "16-bit (bf16)"):
        assert name in shown


def test_cells_fill_in_as_they_run(ana: Visitor, context: Context) -> None:
    sweep = sweep_of(context.settings, tiny_grid(ranks=[2, 8], bits=["nf4", "bf16"]))
    ana.opens(f"/grid?sweep={sweep.sweep_id}")
    begin(runs_of(context.settings, sweep)[0], steps=2)
    assert "running step 2/3" in part(ana.sends("poll"), "sweep-map")
    assert "Held-out loss so far" in part(ana.sends("poll"), "sweep-map")


def test_plots_are_drawn_anew_only_when_a_cell_has_ended(ana: Visitor, context: Context) -> None:
    sweep = finished_sweep(context.settings)
    ana.opens(f"/grid?sweep={sweep.sweep_id}")
    assert ana.sends("poll")["then"] == "draw"
    drawn = ana.sends("draw")["parts"]
    assert len(re.findall('<figure class="sheet plot"', drawn["plots"])) == 5
    token = TickForm(drawn["drawn"]).values["drawn"]
    assert "then" not in ana.sends("poll", fields=fields_of(tiny_grid()) | {"drawn": token})


def test_filters_and_order_stand_in_the_address(ana: Visitor, context: Context) -> None:
    sweep = finished_sweep(context.settings)
    ana.opens(f"/grid?sweep={sweep.sweep_id}")
    reply = ana.sends("filter", name="bits", value="nf4")
    assert ana.asked["show_bits"] == "nf4"
    assert "bf16" not in part(reply, "sweep-table")
    ana.sends("sort", value="loss")
    rows = re.findall(
        r'href="/lab\?run=[^"]+">(\d)<', ana.sends("sort", value="loss")["parts"]["sweep-table"]
    )
    assert ana.asked["sort"] == "-loss"
    assert rows == ["3", "1", "4", "2"]
    assert rows == re.findall(r'href="/lab\?run=[^"]+">(\d)<', ana.opens(f"/grid{ana.query}"))
    ana.sends("filter", name="bits", value="nf4")
    assert "show_bits" not in ana.asked


def test_findings_are_shown_with_the_rule_behind_them(ana: Visitor, context: Context) -> None:
    sweep = finished_sweep(context.settings, tiny_grid(ranks=[2, 8], seeds=[0, 1, 2]))
    shown = words(ana.opens(f"/grid?sweep={sweep.sweep_id}"))
    assert "r=8 ends 0.600 ± 0.002 lower than r=2 (3 seeds)." in shown
    assert "Welch" in shown


def test_a_finished_race_at_one_rate_offers_the_sweep_of_rates(ana: Visitor, context: Context) -> None:
    sweep = finished_sweep(context.settings, tiny_grid(variants=["lora", "dora"]))
    shown = ana.opens(f"/grid?sweep={sweep.sweep_id}")
    assert "this doesn't compare them fairly" in words(shown)
    reply = ana.sends("rates", of="sweep")
    assert parse_grid_form(TickForm(reply["html"]).values).learning_rates == (5e-4, 2e-3, 8e-3)


def test_each_pair_of_matrices_and_variant_has_its_own_map(ana: Visitor, context: Context) -> None:
    sweep = finished_sweep(context.settings, tiny_grid(variants=["lora", "dora"], ranks=[2, 8]))
    ana.opens(f"/grid?sweep={sweep.sweep_id}")
    reply = ana.sends("plane", value="1")
    assert ana.asked["plane"] == "1"
    assert reply["then"] == "draw"
    assert "plane=1" in ana.sends("draw")["parts"]["plots"]


@pytest.mark.parametrize(
    "query",
    [
        "plane=99",
        "plane=-1",
        pytest.param(f"plane={'9' * 5000}", id="long"),
        "sweep=../../etc",
        "sort=x&show_rank=a,b",
        "ranks=,",
    ],
)
def test_an_address_that_anyone_typed_still_opens(ana: Visitor, context: Context, query: str) -> None:
    finished_sweep(context.settings)
    assert "8 of 8 cells have ended" in words(ana.opens(f"/grid?{query}"))


def test_a_grid_that_is_too_large_for_the_machine_asks_before_it_starts(ana: Visitor, lab: Lab) -> None:
    memory = {"memory_bytes": 9000, "free_bytes": 1000}
    device = {"type": "cuda", "name": "GPU", "compute_dtype": "fp32", **memory}
    lab.home.write_worker_state(state="ready", device=device)
    cost = ana.sends("change")["parts"]["cost"]
    assert "this GPU has 1.00 kB free" in words(cost)
    with pytest.raises(LearnerError, match=r"this GPU has 1\.00 kB free.*press Start anyway"):
        ana.sends("start")
    assert lab.sweeps() == []
    ana.sends(**build_event(cost, "start"))
    assert len(lab.engine.list_waiting()) == 8


def test_a_learners_file_becomes_the_data_of_the_grid(ana: Visitor, lab: Lab) -> None:
    content = base64.b64encode(jsonl(PAIRS)).decode()
    reply = ana.sends("upload", name="mine.jsonl", content=content)
    assert "mine.jsonl" in part(reply, "data")
    assert reply["then"] == "change"
    digest = lab.uploads.with_damaged()[0][0][0]
    ana.sends("start", fields=fields_of(tiny_grid()) | {"data": [digest]})
    assert lab.sweep(ana.asked["sweep"]).data_digest == digest


def test_one_cell_of_each_width_runs_alone_so_that_its_peak_is_measured(ana: Visitor, lab: Lab) -> None:
    ana.sends("start", replace(read_grid_presets()[0].grid, bits=("bf16", "nf4-dq")))
    [sweep] = lab.sweeps()
    runs = [lab.run(run_id) for run_id in sweep.run_ids]
    assert [run.spec.bits for run in runs if run.state().alone] == ["bf16", "nf4-dq"]
    assert len(take_cells(runs)) == 1


def test_the_first_seed_of_every_setting_is_trained_before_the_others(ana: Visitor, lab: Lab) -> None:
    """So that settings can be compared after two jobs, however many seeds there are."""
    ana.sends("start", read_grid_presets()[0].grid)
    jobs, left = [], [lab.run(run_id) for run_id in lab.engine.list_waiting()]
    while left:
        jobs.append(take_cells(left))
        left = [run for run in left if run not in jobs[-1]]
    assert [[(run.spec.rank, run.spec.seed) for run in job] for job in jobs] == [
        [(2, 0)],
        [(8, 0), (32, 0)],
        [(2, 1), (8, 1), (32, 1), (2, 2), (8, 2), (32, 2)],
    ]


def test_a_cell_that_measures_after_its_steps_says_so(ana: Visitor, context: Context) -> None:
    sweep = sweep_of(context.settings)
    run = runs_of(context.settings, sweep)[0]
    begin(run, steps=3)
    ana.opens(f"/grid?sweep={sweep.sweep_id}")
    assert "step 3 of 3" in part(ana.sends("poll"), "sweep-table")
    run.emit("status", text="Measuring the held-out loss before and after")
    table = part(ana.sends("poll"), "sweep-table")
    assert "Measuring the held-out loss before and after" in table
    assert "step 3 of 3" not in table


def test_a_sweep_in_the_list_opens_at_the_sweep(ana: Visitor, context: Context) -> None:
    sweep = finished_sweep(context.settings)
    assert f'href="/grid?sweep={sweep.sweep_id}#sweep"' in ana.opens("/grid")


def test_a_finished_sweep_leads_to_its_best_cell(ana: Visitor, context: Context, lab: Lab) -> None:
    sweep = finished_sweep(context.settings)
    best = min(lab.cells(sweep), key=lambda cell: cell.loss_after or 9)
    said = f"Open the cell with the lowest loss, {best.loss_after:.3f}"
    link = f'id="best-cell" href="/lab?run={best.run_id}">{said}'
    assert link in ana.opens(f"/grid?sweep={sweep.sweep_id}")


def test_a_sweep_that_cant_be_read_is_named_and_set_aside(ana: Visitor, context: Context, lab: Lab) -> None:
    sweep = finished_sweep(context.settings)
    (sweep.path / "sweep.json").write_text("null")
    shown = words(ana.opens("/grid"))
    assert f"1 folder can't be read: {sweep.sweep_id}" in shown
    assert "can't be read" not in part(ana.sends("set-aside"), "sweeps")
    assert (lab.settings.home / "set-aside" / "sweeps" / sweep.sweep_id / "sweep.json").read_text() == "null"
    assert len(lab.runs()) == len(sweep.run_ids)  # its runs can be read


def test_grids_of_one_name_are_told_apart_by_their_time_and_their_data(
    ana: Visitor, context: Context
) -> None:
    first = sweep_of(context.settings)
    mine = parse_grid(replace(first.grid.base, data="0123456789ab"), AXES)
    second = replace(sweep_of(context.settings, mine, after_seconds=61), data_label="mine.jsonl")
    second.save()
    listed = words(ana.opens("/grid").partition('data-part="sweeps"')[2])
    assert "on tiny-random 4 March 2026, 10:00:00 UTC 0 of 8" in listed
    assert "on tiny-random 4 March 2026, 10:01:01 UTC · data mine.jsonl 0 of 8" in listed


def test_a_phone_names_every_value_of_the_peaks_and_of_earlier_grids(ana: Visitor, context: Context) -> None:
    finished_sweep(context.settings)
    ranks, columns = ["r=2", "r=8", "r=32"], ["Finished", "Lowest loss of one cell"]
    found = stacked(ana.opens("/grid?ranks=2,8,32&model=tiny-random"))
    assert found == [(["peak, computed", *ranks], ranks), (["Grid", *columns], columns)]


def test_a_file_of_examples_can_be_stopped_here_too(
    ana: Visitor, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(separate_files, "read_upload", readers.take_time)
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(ana.sends, "upload", name="mine.jsonl", content="e30=")
        wait_for(lambda: separate_reading._readings, seconds=20)
        assert ana.sends("stop-reading") == {}
        assert "Reading mine.jsonl was stopped" in part(sent.result(20), "data-problem")
    assert lab.uploads.with_damaged()[0] == []


def test_examples_that_cant_be_read_are_named_and_set_aside(ana: Visitor, lab: Lab) -> None:
    kept = lab.uploads.add("mine.jsonl", jsonl(PAIRS)).digest
    damaged = lab.uploads.folder / "0123456789ab.json"
    damaged.write_text('{"label"')
    shown = ana.opens("/grid")
    assert "1 file can't be read: 0123456789ab.json . Set it aside" in words(shown)
    assert "Move it to set-aside/data in the data folder?" in shown
    assert TickForm(shown).values["data"] != ["0123456789ab"]
    reply = ana.sends(build_event(shown, "set-aside-data")["act"])
    assert reply["say"] == "Moved to set-aside/data in the data folder."
    assert "can't be read" not in part(reply, "data")
    assert lab.uploads.with_damaged()[0] == [(kept, "mine.jsonl")]
    assert (lab.settings.home / "set-aside" / "data" / damaged.name).read_text() == '{"label"'
