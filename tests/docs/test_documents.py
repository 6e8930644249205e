"""What the documents say of this repository is true of it: paths, commands, options, names, examples."""

import ast
import importlib
import io
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

import pytest
import yaml

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from flashcards.decks.deck import load_decks
from lora_lab.memory.ledger import bits_per_param
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import find_shape
from study.base.checks import check_holds
from study.content.concepts import ConceptMap

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")

PACKAGES = ("study", "flashcards", "quizzes", "lora_lab", "benchmarks")
TOP = r"(?:app\.py|Makefile|\.ci/|study/|flashcards/|quizzes/|lora_lab/|classroom/|tests/|docs/|benchmarks/)"
CODE_PATH = re.compile(rf"`({TOP}[\w./*<>-]*)`")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
MAKE = re.compile(r"(?:`|^|\s)make ([a-z][a-z-]+)", re.MULTILINE)
COMMAND = re.compile(r"python (-m [a-z_.]+|app\.py)((?: [^\n`#|<>]*)?)")
COMMAND_LINES = ("flashcards", "quizzes", "lora_lab", "classroom")
FUNCTION = re.compile(r"^def (test_\w+)\(", re.MULTILINE)
NAMES_IN_FILE = re.compile(r"((?:`\w+`(?:, | and )?)+) in `([\w/]+\.py)`")


def text_of(path: Path) -> str:
    return path.read_text("utf-8")


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_path_it_names_is_there(path: Path) -> None:
    named = [re.sub(r"<[^>]*>", "*", name).rstrip("/") for name in CODE_PATH.findall(text_of(path))]
    assert [name for name in named if not list(ROOT.glob(name))] == []


def test_every_document_that_the_code_points_to_is_there() -> None:
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    pointed = {name for path in sources for name in re.findall(r"(?<![\w/.])docs/[\w/-]+\.md", text_of(path))}
    assert [name for name in sorted(pointed) if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_link_inside_the_repository_leads_somewhere(path: Path) -> None:
    assert [link for link in LINK.findall(text_of(path)) if not (path.parent / link).exists()] == []


def test_every_test_that_a_document_names_exists() -> None:
    named = {name for path in DOCUMENTS for name in re.findall(r"`(test_\w+)`", text_of(path))}
    defined = {
        found for path in (ROOT / "tests").rglob("test_*.py") for found in FUNCTION.findall(text_of(path))
    }
    assert len(named) > 30
    assert named - defined == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_make_command_it_names_is_a_target(path: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", text_of(ROOT / "Makefile"), re.MULTILINE))
    shown = "\n".join(_code(text_of(path)))
    assert set(MAKE.findall(shown)) <= targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_option_of_a_command_it_names_exists(path: Path) -> None:
    for program, arguments in COMMAND.findall("\n".join(_code(text_of(path)))):
        sub = re.match(r" ([a-z][a-z-]*)\b", arguments)
        help_text = help_of(program, sub.group(1) if sub else "")
        for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", arguments):
            assert option in help_text, f"python {program}{arguments}"


def _code(text: str) -> Iterator[str]:
    """Fenced blocks and inline code: prose may say "make sure"."""
    yield from re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    yield from re.findall(r"`([^`\n]+)`", text)


@cache
def help_of(program: str, subcommand: str) -> str:
    """What a command says of itself; the test fails on one that is not there."""
    module = program.removeprefix("-m ")
    if module == "lora_lab.worker":  # its own source, as its help would load torch first
        return text_of(ROOT / "lora_lab/worker/__main__.py")
    if module.startswith(("benchmarks.", "quizzes.grader.worker.", "tests.")):
        return text_of(ROOT / f"{module.replace('.', '/')}.py")
    if module == "lora_lab.worker.record":  # another process would load torch, which other tests here need
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sys, "argv", [module, "--help"])
            return printed_by(lambda: runpy.run_module(module, run_name="__main__"))
    if module in COMMAND_LINES and subcommand:
        help_of(program, "")  # it starts by itself
        return printed_here(module, subcommand)
    words = [word for word in (*program.split(), subcommand, "--help") if word]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def printed_here(module: str, subcommand: str) -> str:
    """A subcommand's help, from this process: another one for each would import the same libraries anew."""
    return printed_by(lambda: importlib.import_module(f"{module}.__main__").main([subcommand, "--help"]))


def printed_by(program: Callable[[], object]) -> str:
    """What a program prints that ends well."""
    printed = io.StringIO()
    with pytest.raises(SystemExit) as ended, redirect_stdout(printed):
        program()
    assert ended.value.code in (0, None), printed.getvalue()
    return printed.getvalue()


# ---- CONTRIBUTING


def test_every_name_that_contributors_are_sent_to_is_in_its_file() -> None:
    sent = NAMES_IN_FILE.findall(CONTRIBUTING)
    assert sent
    for names, file in sent:
        defined = set(_defined(ROOT / file))
        assert set(re.findall(r"`(\w+)`", names)) <= defined, file


def _defined(path: Path) -> Iterator[str]:
    for node in ast.parse(text_of(path)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def test_the_example_card_is_a_card_and_its_check_holds(tmp_path: Path, concepts: ConceptMap) -> None:
    card, check = re.findall(r"```yaml\n(.*?)```", CONTRIBUTING, re.DOTALL)[:2]
    [written] = yaml.safe_load(card)
    claim = yaml.safe_load(check)
    written |= claim | {"back": f"{written['back']} {claim['check']['expect']:,}"}
    (tmp_path / "example.yaml").write_text(yaml.safe_dump({"deck": "Example", "cards": [written]}))
    [loaded] = load_decks(concepts, folder=tmp_path).cards
    assert all(check_holds(claimed) for claimed in loaded.evidence.checks)
    assert loaded.evidence.checks


@pytest.mark.parametrize(
    ("rank", "targets", "line"),
    [(8, "all-linear", "rank 8, all linear layers"), (8, "q+v", "rank 8, query + value")],
)
def test_the_counts_that_the_readme_prints_are_computed(rank: int, targets: str, line: str) -> None:
    found = count_parameters(find_shape("smollm2-135m"), rank=rank, targets=targets)
    printed = next(row for row in text_of(ROOT / "README.md").splitlines() if f"| {line} |" in row)
    assert f"{found.trainable:,} trainable parameters" in printed
    assert f"{found.percent:.2f} %" in printed


def test_the_bits_that_the_readme_prints_are_computed() -> None:
    assert f"{bits_per_param('nf4-dq'):.3f} bits stored" in text_of(ROOT / "README.md")
