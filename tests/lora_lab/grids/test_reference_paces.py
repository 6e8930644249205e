"""Times for a machine that has not finished a run yet: measured once, read from a file that says where."""

import json
from dataclasses import replace

import pytest

from lora_lab.grids.reference_paces import FILE, read_reference
from lora_lab.runs.grouping import count_together
from lora_lab.settings.grid_form import read_grid_presets
from lora_lab.spec import RunSpec

USUAL = RunSpec()


@pytest.mark.parametrize("preset", read_grid_presets(), ids=[preset.id for preset in read_grid_presets()])
def test_every_ready_made_grid_has_a_time(preset: object) -> None:
    seconds = read_reference().estimate_seconds(preset.grid.list_specs())  # type: ignore[attr-defined]
    assert seconds is not None
    assert seconds > 1


def test_the_time_is_that_of_the_measured_run() -> None:
    content = json.loads(FILE.read_text("utf-8"))
    spec = replace(USUAL, bits="int8", steps=10)
    for size in (1, 2, 6):
        [measured] = [
            run for run in content["runs"] if (run["spec"]["bits"], run["shared_by"]) == ("int8", size)
        ]
        wanted = measured["other_cpu_seconds"] + 10 * measured["cpu_seconds_per_step"]
        found = read_reference().estimate_seconds([spec, spec], together=[size, size])
        assert found == pytest.approx(2 * wanted)


def test_a_group_takes_less_than_its_cells_one_after_the_other() -> None:
    specs = read_grid_presets()[0].grid.list_specs()
    alone = read_reference().estimate_seconds(specs, together=[1] * 9)
    grouped = read_reference().estimate_seconds(specs, together=count_together(specs, first_seed=0))
    assert alone is not None
    assert grouped is not None
    assert grouped < 0.7 * alone


def test_nothing_is_said_of_what_was_not_measured() -> None:
    assert read_reference().estimate_seconds([replace(USUAL, model="llama-7b")]) is None
    assert read_reference().estimate_seconds([replace(USUAL, bits="hqq4")]) is None
    assert read_reference().estimate_seconds([USUAL, replace(USUAL, data="0" * 16)]) is None


def test_the_file_says_where_and_when_it_was_measured() -> None:
    reference, made = read_reference(), json.loads(FILE.read_text("utf-8"))["provenance"]
    assert (reference.compute_dtype, reference.date) == (made["compute_dtype"], made["date"])
    assert made["command"] == "python -m lora_lab.worker.record.paces"
    assert made["versions"].keys() >= {"torch", "peft", "transformers"}
    assert made["load"] >= 0
