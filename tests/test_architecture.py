"""Who may import whom, and what the page's process never loads: the rules in CONTRIBUTING, kept true."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SIBLINGS = {"flashcards", "quizzes", "lora_lab"}
PACKAGES = {"study", *SIBLINGS}
SOURCES = [path for package in sorted(PACKAGES) for path in sorted((ROOT / package).rglob("*.py"))]
FITS_CARDS = ROOT / "flashcards" / "optimizing_worker.py"
HEAVY = {"torch", "fsrs.optimizer", "transformers", "peft", "bitsandbytes", "accelerate", "safetensors"}
ALSO_DRAW = {ROOT / "study" / "theme.py", ROOT / "study" / "frame.py"}

WORKERS = (ROOT / "lora_lab" / "worker", ROOT / "quizzes" / "explain" / "worker")
WORKER_NAMES = ("lora_lab.worker", "quizzes.explain.worker", "flashcards.optimizing_worker")

# A command line is a small app: like app.py, it registers what content may check against.
REGISTRY = "lora_lab.quantities"

THE_LAB_IN_USE = """
import sys
from pathlib import Path
from app import build_app
from lora_lab import charts
from lora_lab.lab import Lab
from lora_lab.preview import preview
from lora_lab.runs.local import LocalEngine
from lora_lab.spec import OWN_DATA, RunSpec
from study.settings import Settings
home = Path(sys.argv[1])
settings = Settings(home=home, database_url=f"sqlite:///{home / 's.sqlite3'}", models_dir=home)
build_app(settings, worker=False)
lab = Lab(settings, LocalEngine(settings, warm=False))
found = preview(lab.home, RunSpec(rank=16), lab.uploads.find(OWN_DATA).digest)
drawn = [charts.drawn(plot, narrow=False) for plot in charts.plots_of(lab, found)]
print(len(drawn), sorted(set(sys.argv[2:]) & set(sys.modules)))
"""


def imported(path: Path) -> Iterator[str]:
    """Full names of what a file imports, anywhere in it."""
    yield from _names(ast.walk(ast.parse(path.read_text("utf-8"))))


def imported_at_load(path: Path) -> Iterator[str]:
    """Only what it imports as soon as it is imported itself."""
    yield from _names(_outside_functions(ast.parse(path.read_text("utf-8"))))


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


def package_of(name: str) -> str:
    return name.partition(".")[0]


def draws(path: Path) -> bool:
    return path.name == "page.py" or path.parent.name == "pages" or path in ALSO_DRAW


def works(path: Path) -> bool:
    return any(folder in path.parents for folder in WORKERS) or path == FITS_CARDS


def offenders(paths: Iterable[Path], imports: Callable[[Path], Iterable[str]]) -> dict[str, set[str]]:
    """What each file imports that it must not; files without any are left out."""
    found = {str(path.relative_to(ROOT)): set(imports(path)) for path in paths}
    return {path: names for path, names in found.items() if names}


def test_flashcards_quizzes_and_the_lab_never_import_each_other() -> None:
    def foreign(path: Path) -> Iterator[str]:
        own = path.relative_to(ROOT).parts[0]
        allowed = REGISTRY if path.name == "__main__.py" else ""
        for name in imported(path):
            if package_of(name) in SIBLINGS - {own} and name != allowed:
                yield name

    assert offenders(SOURCES, foreign) == {}


def test_what_all_share_imports_none_of_them() -> None:
    def foreign(path: Path) -> Iterator[str]:
        return (name for name in imported(path) if package_of(name) in SIBLINGS)

    assert offenders((ROOT / "study").rglob("*.py"), foreign) == {}


def test_engines_neither_draw_nor_import_what_draws() -> None:
    def drawing(path: Path) -> Iterator[str]:
        for name in imported(path):
            ours = package_of(name) in PACKAGES and {"page", "pages", "frame", "theme"} & set(name.split("."))
            if package_of(name) == "gradio" or ours:
                yield name

    assert offenders([path for path in SOURCES if not draws(path)], drawing) == {}


def test_only_the_workers_import_torch_and_its_like() -> None:
    def heavy(path: Path) -> Iterator[str]:
        return (name for name in imported_at_load(path) if {name, package_of(name)} & HEAVY)

    assert offenders([ROOT / "app.py", *(path for path in SOURCES if not works(path))], heavy) == {}


def test_only_the_workers_import_the_workers() -> None:
    def workers(path: Path) -> Iterator[str]:
        return (name for name in imported(path) if name.startswith(WORKER_NAMES))

    assert offenders([ROOT / "app.py", *(path for path in SOURCES if not works(path))], workers) == {}


def test_these_rules_see_imports_where_they_are() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == PACKAGES
    assert "torch" in imported_at_load(ROOT / "lora_lab/worker/training.py")
    assert "torch" in imported_at_load(ROOT / "quizzes/explain/worker/network.py")
    assert "gradio" in imported(ROOT / "app.py")
    assert "gradio" not in imported_at_load(ROOT / "app.py")
    assert "study.errors.LearnerError" in imported(ROOT / "lora_lab/spec.py")


def test_a_process_that_builds_the_app_and_draws_a_setting_has_no_torch(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", THE_LAB_IN_USE, str(tmp_path), *HEAVY],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "3 []", done.stderr
