"""Importing Gradio without what it does for editors: half of the processor time that its import takes.

Gradio parses the source of every component twice, to write a stub file of its events beside it
(`gradio.component_meta.create_or_modify_pyi`). Nothing that runs reads these files. A Gradio without that
function is imported as it is.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

COMPONENTS = "gradio.component_meta"
WRITES_STUBS = "create_or_modify_pyi"


def disable_stub_writing() -> None:
    """Let the next import of Gradio in this process write no stub files."""
    if COMPONENTS not in sys.modules and not any(isinstance(each, _Finder) for each in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds that one module of Gradio."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != COMPONENTS:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Loads it, and makes that function one that does nothing."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        if hasattr(module, WRITES_STUBS):
            setattr(module, WRITES_STUBS, _leave_alone)


def _leave_alone(*_: object) -> None:
    """Write nothing."""
