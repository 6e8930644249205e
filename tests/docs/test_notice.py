"""NOTICE names the works of others that the app carries or fetches, with their licence."""

from fnmatch import fnmatch

import pytest

from lora_lab.data import embedded_model
from quizzes.grader import minilm
from study.base.model_files import ModelPackage
from study.base.settings import ROOT

NOTICE = (ROOT / "NOTICE").read_text("utf-8")
PACKAGES = ("classroom", "flashcards", "lora_lab", "quizzes", "study")


def test_every_file_of_weights_or_letters_is_named_with_a_licence() -> None:
    sections = {part.splitlines()[0]: part for part in NOTICE.split("\n\n")}
    carried = [
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for pattern in ("*.safetensors", "*.woff2", "figures/data/weights.json")
        for path in (ROOT / package).rglob(pattern)
    ]
    assert len(carried) >= 4
    for path in carried:
        [said] = [part for name, part in sections.items() if fnmatch(path, name)]
        assert "License, Version" in said, path
        assert "https://" in said, path


@pytest.mark.parametrize("package", [embedded_model.PACKAGE, minilm.PACKAGE], ids=lambda each: each.name)
def test_each_fetched_model_is_named_as_its_package_is_pinned(package: ModelPackage) -> None:
    [said] = [part for part in NOTICE.split("\n\n") if part.startswith(f"{package.name} {package.version}\n")]
    assert "Apache License" in said
