"""A damaged file of the lab, or of one's own content, harms nothing else: every page still opens."""

import json
import shutil
import traceback
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from classroom.plans.plan import PLANS_DIR
from lora_lab.data.datasets import build_own_dataset
from lora_lab.data.lab_folder import LabHome
from lora_lab.data.machine import NumberType
from lora_lab.data.uploads import Uploads
from lora_lab.parameters.shapes import find_shape
from study.base.yaml_loader import load_yaml
from tests.browser.hostile import write_own_files
from tests.data_folder import settings_in
from tests.lora_lab import run_builders, sweep_builders
from tests.whole_app import WholeApp, whole_app

READ_THE_LAB = ("/", "/lab", "/grid", "/compare", "/memory", "/models", "/projects", "/xray")
"""The pages that read the lab's files."""

OWN_CONTENT = ("decks", "questions", "plans")
"""Folders of what a learner or a teacher wrote."""

PARTS = 4
"""Tests of some 80 rounds each; each first opens everything undamaged."""

WHOLE_FILE_DAMAGES = 7
FIELDS_SHARE = 13

JUNK: list[Any] = [None, [], {}, "x", -1, 1e308, True, {"x": [1]}]


@dataclass(frozen=True)
class Filled:
    """A data folder with a run that ended, one that was compared, a sweep, an upload, and own content."""

    home: Path
    runs: tuple[str, ...]
    """One run of each origin; files of these are damaged."""

    sweep: str

    def files(self) -> list[Path]:
        """What is damaged."""
        names = (*(f"runs/{run}" for run in self.runs), "sweeps", "lab", *OWN_CONTENT)
        folders = [self.home / name for name in names]
        return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    folder = tmp_path_factory.mktemp("home")
    settings = settings_in(folder)
    alone = run_builders.finished(settings.runs_dir)
    compared = run_builders.side_by_side(settings.runs_dir)
    sweep = sweep_builders.finished_sweep(settings)
    lab = LabHome(folder)
    lab.write_worker_state(state="ready", text="Ready", device=run_builders.DEVICE)
    lab.save_number_type(NumberType(device="x86_64", decided="bf16", why="this processor has bf16"))
    uploads = Uploads(folder / "lab" / "data")
    uploads._store(build_own_dataset())
    lab.save_shape(replace(find_shape("smollm2-135m"), name="own-model"))
    write_own_files(folder, "of one's own", name="own")
    (folder / "plans").mkdir()
    shutil.copy(PLANS_DIR / "rank-25.yaml", folder / "plans" / "plan.yaml")
    return Filled(folder, (alone.run_id, compared.run_id, sweep.run_ids[0]), sweep.sweep_id)


@pytest.fixture(scope="module")
def app(filled: Filled) -> Iterator[WholeApp]:
    with whole_app(settings_in(filled.home)) as opened:
        yield opened


def _open_everything(
    app: WholeApp, filled: Filled, pages: Collection[str] = (), *, runs: Collection[str] = ()
) -> None:
    """Open these pages, or all there are, and the lab's downloads; of the runs, these alone or each."""
    queries = {
        "/lab": [{"run": run} for run in runs or filled.runs],
        "/grid": [{"sweep": filled.sweep}],
        "/compare": [{"runs": ",".join(filled.runs)}, {"run": filled.runs[0]}],
        "/xray": [{"run": filled.runs[0]}],
        "/memory": [{"model": "own-model"}],
    }
    for path in pages or app.loads:
        for query in ({}, *queries.get(path, ())):
            app.open(path, **query)
    with app.client() as client:
        if not pages:
            assert client.get("/class?edit=own-plan").status_code == 200
        for run in runs or filled.runs:
            for name in ("run.json", "run.py", "steps.csv"):
                assert client.get(f"/lab/runs/{run}/{name}").status_code in (200, 404, 409, 422), name
        for name in ("cells.csv", "sweep.json", "report.html"):
            assert client.get(f"/lab/sweeps/{filled.sweep}/{name}").status_code in (200, 404, 409, 422), name
        assert client.get("/lab/memory/measured.csv").status_code == 200


def _damages(content: bytes) -> Iterator[bytes | None]:
    yield None  # deleted
    yield b""
    yield content[: len(content) // 2]
    yield b"\xff\x00" * 50
    yield b"null\n"
    yield b"[[[]]]"
    yield b"[" * 100_000
    yield from _other_types(content)


def _other_types(content: bytes) -> Iterator[bytes]:
    """Each value of each line, or of the whole file, replaced by values of other types. JSON is YAML too."""
    try:
        yield from (_json(changed) for changed in _changed(json.loads(content)))
    except ValueError:
        if not content.startswith(b"{"):
            yield from (_json(changed) for changed in _changed(load_yaml(content)))
            return
        lines = content.splitlines()
        for number, line in enumerate(lines[:6]):
            try:
                parsed = json.loads(line)
            except ValueError:
                continue
            for changed in _changed(parsed):
                yield b"\n".join([*lines[:number], _json(changed), *lines[number + 1 :]]) + b"\n"


def _changed(value: Any) -> Iterator[Any]:
    """The value with each of its fields in turn missing or of another type; two levels deep."""
    if isinstance(value, dict):
        for name, inside in value.items():
            yield {key: kept for key, kept in value.items() if key != name}
            for junk in JUNK:
                yield value | {name: junk}
            if isinstance(inside, dict):
                for key in inside:
                    for junk in JUNK:
                        yield value | {name: inside | {key: junk}}
            if isinstance(inside, list) and inside:
                yield from (value | {name: [changed, *inside[1:]]} for changed in _changed(inside[0]))


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_and_download_opens_with_a_damaged_file(app: WholeApp, filled: Filled, part: int) -> None:
    _open_everything(app, filled)
    problems = []
    for damages in _rounds(filled)[part::PARTS]:
        for damage in damages:
            if damage.content is None:
                damage.path.unlink()
            else:
                damage.path.write_bytes(damage.content)
        try:
            if any(damage.everywhere for damage in damages):
                _open_everything(app, filled)
            else:
                own = [run for run in filled.runs if any(run in damage.path.parts for damage in damages)]
                _open_everything(app, filled, READ_THE_LAB, runs=own)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            shown = " and ".join(f"{each.path.name}: {(each.content or b'gone')[:150]!r}" for each in damages)
            problems.append(f"{shown}: {error!r} at {where.filename}:{where.lineno}")
        for damage in damages:
            damage.path.write_bytes(damage.before)
    assert not problems, "\n".join(problems)


@dataclass(frozen=True)
class Damage:
    """What is written into a file instead of what it held."""

    path: Path
    before: bytes
    content: bytes | None
    everywhere: bool
    """Whether all pages are opened: not with a field of the lab, and not with a further run's file."""


def _list_damages(filled: Filled) -> Iterator[Damage]:
    """Every damage of a whole file, and a 13th of the fields with values of other types."""
    others = [filled.home / "runs" / run for run in filled.runs[1:]]
    number = 0
    for path in filled.files():
        content = path.read_bytes()
        for position, damaged in enumerate(_damages(content)):
            number += 1
            whole = position < WHOLE_FILE_DAMAGES
            if whole or number % FIELDS_SHARE == 0:
                everywhere = whole or path.parent.name in OWN_CONTENT
                everywhere &= not any(map(path.is_relative_to, others))
                yield Damage(path, content, damaged, everywhere)


def _rounds(filled: Filled) -> list[list[Damage]]:
    """Damages that are tried at once: of two runs, each of which pages skip alone, and of a run and of own
    content, which no page reads for the same thing.
    """
    by_place: dict[tuple[str, bool], list[Damage]] = defaultdict(list)
    for damage in _list_damages(filled):
        folder, *inside = damage.path.relative_to(filled.home).parts
        by_place[inside[0] if folder == "runs" else folder, damage.everywhere].append(damage)
    first, second, third = filled.runs
    together = [
        [(first, True), *((folder, True) for folder in OWN_CONTENT)],
        [(second, False), (third, False)],
        *([(place, everywhere)] for place in ("lab", "sweeps") for everywhere in (True, False)),
        [(first, False)],
    ]
    assert set(by_place) == {place for places in together for place in places}
    return [
        [damage for damage in damages if damage is not None]
        for places in together
        for damages in zip_longest(*(by_place[place] for place in places))
    ]


def test_an_app_starts_with_a_damaged_run_and_takes_up_the_others(filled: Filled, tmp_path: Path) -> None:
    copy = tmp_path / "home"
    shutil.copytree(filled.home, copy)
    first, second, *_ = sorted((copy / "runs").iterdir())
    (first / "events.jsonl").write_text('{"kind": "finished"}\n{"kind": "step", "at": "x"}\nnull\n[]\n')
    (copy / "lab").mkdir(exist_ok=True)
    (copy / "lab" / "queue.json").write_text('{"order": 5, "paused": [], "since": "x", "served_by": 3}')
    with whole_app(settings_in(copy)) as opened:
        assert second.name in opened.open("/lab")
        _open_everything(opened, replace(filled, home=copy))
