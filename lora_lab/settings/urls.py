"""The lab's pages: its three tabs, their views, and the addresses that carry a choice."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

LAB = "/lab"
GRID = "/grid"
COMPARE = "/compare"
XRAY = "/xray"
MEMORY = "/memory"
MICROSCOPE = "/microscope"
CLAIMS = "/claims"
MODELS = "/models"
PAPERS = "/papers"
ORIGIN, WATCH = "from", "watch"
"""The query parameters that name the concept a learner came from, and what to watch."""

LAB_PAGES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("Run", (("Train", LAB), ("Grid", GRID), ("Compare", COMPARE), ("X-ray", XRAY))),
    ("Will it fit?", (("One setting", MEMORY), ("Models", MODELS))),
    ("Check", (("Claims", CLAIMS), ("Published numbers", PAPERS), ("Microscope", MICROSCOPE))),
)
"""The lab's tabs in order, each with the names and addresses of its views; a tab opens its first view."""


def select_origin_fields(query: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of an address that say which concept a learner came from; empty without one."""
    if not query.get(ORIGIN):
        return {}
    return {name: query[name] for name in (ORIGIN, WATCH) if query.get(name)}


def with_origin(address: str, query: Mapping[str, str]) -> str:
    """Add those fields to an address, so that the way back is kept."""
    given = urlencode(select_origin_fields(query))
    return f"{address}{'&' if '?' in address else '?'}{given}" if given else address


def with_query(path: str, query: Mapping[str, str], *, safe: str = "") -> str:
    """Build an address with those parameters that are not empty."""
    given = urlencode({name: value for name, value in query.items() if value}, safe=safe)
    return f"{path}?{given}" if given else path


def build_sweep_address(sweep_id: str) -> str:
    """Build the address of the Grid page that shows a sweep and begins there, not at the form."""
    return f"{GRID}?sweep={sweep_id}#sweep"


def compare_address(run_ids: Sequence[str], ask_id: str = "") -> str:
    """Build the address of the Compare page with these runs, and a question asked there."""
    return with_query(COMPARE, {"runs": ",".join(run_ids), "ask": ask_id}, safe=",")


def build_xray_address(**query: str) -> str:
    """Build the address of the X-ray page; empty parameters are omitted.

    The parameters are a `run`, `with` a second one, a `layer` and a `matrix`.
    """
    return with_query(XRAY, query)
