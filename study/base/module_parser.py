"""The command line of a module that is run with `python -m`."""

import argparse


def build_module_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help shows the docstring of a module, line by line as it is written.

    The name of the module is given because it is `__main__` where the module is run.
    """
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
