"""What the page's process never loads. Which room may import which is checked by `make lint`."""

import ast
import gc
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LONG_FILES

ROOT = Path(__file__).parents[1]
PACKAGES = {"study", "flashcards", "quizzes", "lora_lab", "classroom"}
SOURCES = [path for package in sorted(PACKAGES) for path in sorted((ROOT / package).rglob("*.py"))]
FITS_CARDS = ROOT / "flashcards" / "scheduling" / "fit_worker.py"
HEAVY = {"torch", "fsrs.optimizer", "transformers", "peft", "bitsandbytes", "accelerate", "safetensors"}

WORKERS = (ROOT / "lora_lab" / "worker", ROOT / "quizzes" / "grader" / "worker")
WORKER_NAMES = ("lora_lab.worker", "quizzes.grader.worker", "flashcards.scheduling.fit_worker")

THE_LAB_IN_USE = """
import sys
from pathlib import Path
from app import build_app
from lora_lab.engine.local import LocalEngine
from lora_lab.lab import Lab
from lora_lab.runs.cost_preview import build_preview
from lora_lab.spec import OWN_DATA, RunSpec
from lora_lab.views import setting_plots as charts
from study.base.settings import Settings
home = Path(sys.argv[1])
settings = Settings(home=home, database_url=f"sqlite:///{home / 's.sqlite3'}", models_dir=home)
build_app(settings, worker=False)
lab = Lab(settings, LocalEngine(settings, warm=False))
found = build_preview(lab.home, RunSpec(rank=16), lab.uploads.find(OWN_DATA).digest)
drawn = [charts.render_plot_part(plot, narrow=False) for plot in charts.plot_setting(lab, found)]
print(len(drawn), sorted(set(sys.argv[2:]) & set(sys.modules)))
"""


@cache
def tree_of(path: Path) -> ast.Module:
    """Parse a source file, once for all tests here."""
    return ast.parse(path.read_text("utf-8"))


@cache
def nodes_of(path: Path) -> Mapping[type[ast.AST], Sequence[Any]]:
    """The nodes of a source file by their type, in the order of `ast.walk`."""
    found: dict[type[ast.AST], list[ast.AST]] = defaultdict(list)
    for node in ast.walk(tree_of(path)):
        found[type(node)].append(node)
    return found


@pytest.fixture(scope="module", autouse=True)
def trees_are_forgotten() -> Iterator[None]:
    """Look for garbage neither among millions of nodes, which hold none, nor in later tests among them."""
    gc.disable()
    yield
    tree_of.cache_clear()
    nodes_of.cache_clear()
    gc.enable()


def imported(path: Path) -> Iterator[str]:
    """Full names of what a file imports, anywhere in it."""
    yield from _names([*nodes_of(path)[ast.Import], *nodes_of(path)[ast.ImportFrom]])


def imported_at_load(path: Path) -> Iterator[str]:
    """Only what it imports as soon as it is imported itself."""
    yield from _names(_outside_functions(tree_of(path)))


def _names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from _outside_functions(child)


def works(path: Path) -> bool:
    return any(folder in path.parents for folder in WORKERS) or path == FITS_CARDS


def offenders(paths: Iterable[Path], imports: Callable[[Path], Iterable[str]]) -> dict[str, set[str]]:
    """What each file imports that it must not; files without any are left out."""
    found = {str(path.relative_to(ROOT)): set(imports(path)) for path in paths}
    return {path: names for path, names in found.items() if names}


def test_only_the_workers_import_torch_and_its_like() -> None:
    def heavy(path: Path) -> Iterator[str]:
        return (name for name in imported_at_load(path) if {name, name.partition(".")[0]} & HEAVY)

    assert offenders([ROOT / "app.py", *(path for path in SOURCES if not works(path))], heavy) == {}


def test_only_the_workers_import_the_workers() -> None:
    def workers(path: Path) -> Iterator[str]:
        return (name for name in imported(path) if name.startswith(WORKER_NAMES))

    assert offenders([ROOT / "app.py", *(path for path in SOURCES if not works(path))], workers) == {}


def test_every_part_is_held_to_these_rules_and_to_the_import_contracts() -> None:
    parts = {path.parent.name for path in ROOT.glob("*/parts.py")}
    assert parts == PACKAGES, "Name a new part in PACKAGES here."
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    assert set(tools["importlinter"]["root_packages"]) == parts, (
        "Name it in pyproject.toml, in root_packages."
    )
    assert parts <= set(tools["mypy"]["files"]), "Name it in pyproject.toml, in the files of mypy."


def test_these_rules_see_imports_where_they_are() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == PACKAGES
    assert "torch" in imported_at_load(ROOT / "lora_lab/worker/training/loop.py")
    assert "torch" in imported_at_load(ROOT / "quizzes/grader/worker/network.py")
    assert "study.parts.build_site" in imported(ROOT / "app.py")
    assert "study.parts.build_site" not in imported_at_load(ROOT / "app.py")
    assert "study.base.errors.LearnerError" in imported(ROOT / "lora_lab/spec.py")


def test_a_process_that_builds_the_app_and_draws_a_setting_has_no_torch(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", THE_LAB_IN_USE, str(tmp_path), *HEAVY],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "3 []", done.stderr


MAKES_HTML = ROOT / "study" / "base" / "html.py"
TRUSTS_HTML = {
    "study/text/templates.py",  # Jinja escapes what a template is given; a script and a style sheet of ours
    "study/text/formulas.py",  # MathML written from an allow-list
    "study/plots/render.py",  # SVG from an XML writer
    "study/web/documents.py",  # documents of this repository, rendered without the HTML in them
    "lora_lab/charts/svg.py",  # SVG elements with escaped attributes
    "study/ports/classes.py",  # texts of a class as they were rendered when its plan was read
    "study/web/device_routes.py",  # a QR code
}
"""The writers whose output is taken as HTML, and why."""


def calls(path: Path, name: str) -> list[ast.Call]:
    """The calls of a function by its own name or as an attribute."""
    return [
        node
        for node in nodes_of(path)[ast.Call]
        if getattr(node.func, "id", getattr(node.func, "attr", "")) == name
    ]


def imports(path: Path, name: str) -> bool:
    """Whether a module takes a name from another one, to call it or to hand it on."""
    return any(alias.name == name for node in nodes_of(path)[ast.ImportFrom] for alias in node.names)


def test_a_string_becomes_html_in_one_module_only() -> None:
    makers = {path for path in SOURCES if calls(path, "Markup")}
    assert makers == {MAKES_HTML}
    named = [path for path in SOURCES if "__html__" in path.read_text("utf-8")]
    assert named == []


def test_no_module_makes_html_by_the_type_of_another_text() -> None:
    """`type(html)(text)` is `Markup(text)` by another name."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        for node in nodes_of(path)[ast.Call]
        if (isinstance(node.func, ast.Call) and getattr(node.func.func, "id", "") == "type")
        or (isinstance(node.func, ast.Attribute) and node.func.attr == "__class__")
    ]
    assert found == []


def test_only_known_writers_are_trusted_with_html() -> None:
    trusting = {str(path.relative_to(ROOT)) for path in SOURCES if imports(path, "trust_html")}
    assert trusting == TRUSTS_HTML


def test_html_with_braces_is_written_in_the_source() -> None:
    """`format_html` escapes what goes into the braces, so the rest must not come from elsewhere."""
    found = [call for path in SOURCES for call in calls(path, "format_html")]
    assert len(found) > 5
    assert [ast.unparse(call) for call in found if not isinstance(call.args[0], ast.Constant)] == []


def test_no_template_turns_the_escaping_off() -> None:
    from study.text.templates import get_environment

    templates = [path for package in PACKAGES for path in (ROOT / package / "templates").rglob("*.html")]
    assert len(templates) > 100
    switches = re.compile(r"\|\s*safe\b|autoescape|\bMarkup\b|unescape")
    assert [path.name for path in templates if switches.search(path.read_text("utf-8"))] == []
    assert get_environment().autoescape is True


def test_each_template_lies_in_the_folder_of_its_page() -> None:
    folders = [ROOT / package / "templates" for package in sorted(PACKAGES)]
    assert [str(path.relative_to(ROOT)) for folder in folders for path in folder.glob("*.html")] == []


def test_no_two_classes_share_a_name() -> None:
    places: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in nodes_of(path)[ast.ClassDef]:
            places.setdefault(node.name, []).append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


PRIVATE_WORDS = {
    "desk": "service, client or queue",
    "door": "link, entry or port",
    "sitting": "session",
    "standing": "status, progress or schedule",  # `standings` are the field's word for a leader board
    "doorkeeper": "access control",
}
"""Words that once named things here, with the field's words in their place."""


def test_no_name_is_a_private_word() -> None:
    names = re.compile(r"(?:^|_|(?<=[a-z])(?=[A-Z]))(" + "|".join(PRIVATE_WORDS) + r")s?(?=$|_|[A-Z])", re.I)
    found = []
    for path in SOURCES:
        named = {
            getattr(node, field)
            for kind, nodes in nodes_of(path).items()
            for field in {"name", "id", "arg"} & {*kind._fields}
            for node in nodes
        }
        for name in sorted(name for name in named if isinstance(name, str)):
            if (word := names.search(name)) and "standings" not in name.lower():
                found.append(f"{path.relative_to(ROOT)}: {name} is a {PRIVATE_WORDS[word[1].lower()]}")
    assert found == []


def test_files_that_are_begun_first_are_there() -> None:
    assert [name for name in LONG_FILES if not (ROOT / name).is_file()] == []


SMALL_LINES = 60
LONGEST_LINES = 400
SEAM_KINDS = {
    r"/parts\.py$": "a part of the app",
    r"/pages/\w+\.py$": "a page, or the routes beside one",
    r"_route\.py$": "an address that the browser asks",
}
SEAMS = {
    "classroom/workers/site.py": "what a process for students serves",
    "classroom/workers/worker.py": "a process for students",
    "lora_lab/cli/startup_status.py": "what the terminal shows, for `app.py`, which holds no feature",
    "lora_lab/data/tokenizer.py": "the tokenizers library, compared with the worker's",
    "lora_lab/engine/ray_extra.py": "Ray, which may not be installed",
    "lora_lab/tasks/run_charts.py": "the drawing of a task, apart from its page",
    "lora_lab/worker/inspect/serve.py": "the inspections that a worker can do",
    "quizzes/explain/class_grader.py": "a port: the grader, for classes",
    "quizzes/families/whole_runs.py": "the drawn numbers for the texts of the same name",
    "quizzes/session/challenge.py": "a port: challenges, for Learn",
    "study/content/training_pairs.py": "what the lab reads of other parts' content",
    "study/store/upkeep.py": "a task that runs by itself",
    "study/web/serving/stop_guard.py": "a process, started by its file name",
    "study/web/stub_files.py": "what is replaced in Gradio before its import",
}
"""Small modules with one importer that stay modules: something is plugged in, started or replaced there."""


def find_small_modules_with_one_importer() -> set[str]:
    """Without those whose importer has no room for them."""
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in SOURCES
    }
    importers: dict[Path, set[Path]] = defaultdict(set)
    for importer in [ROOT / "app.py", *SOURCES]:
        for name in imported(importer):
            for known in (name, name.rpartition(".")[0]):
                if known in names and names[known] != importer:
                    importers[names[known]].add(importer)
    found = set()
    for path, those in importers.items():
        if path.name in ("__init__.py", "__main__.py") or len(those) != 1:
            continue
        own, others = (len(each.read_text("utf-8").splitlines()) for each in (path, *those))
        if own < SMALL_LINES and own + others < LONGEST_LINES:
            found.add(path.relative_to(ROOT).as_posix())
    return found


def test_a_small_module_with_one_importer_is_a_seam() -> None:
    found = find_small_modules_with_one_importer()
    listed = {path for path in found if not any(re.search(kind, path) for kind in SEAM_KINDS)}
    assert listed == set(SEAMS)


UNTESTED_ROOMS = {"study/ports": "protocols, tested with the parts that implement them"}


def test_each_room_has_its_tests_in_the_folder_of_the_same_name() -> None:
    rooms = {path.parent.relative_to(ROOT) for path in SOURCES if path.name != "__init__.py"}
    generated = {room for room in rooms if "alembic" in room.parts}
    untested = {
        room.as_posix() for room in rooms - generated if not any((ROOT / "tests" / room).rglob("test_*.py"))
    }
    assert untested == set(UNTESTED_ROOMS)
