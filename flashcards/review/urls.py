"""URLs of the Cards page: which cards to study, and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode

from flashcards.review.session import CardFilter
from flashcards.review.snapshot import RuleOverrides
from study.web import form_event

FILTERS = ("deck", "level", "tag", "concept", "ids")
MORE_NEW = 5
AHEAD_DAYS = 7
HOWS = {
    "": "What is due, and new ones",
    "new": f"{MORE_NEW} more new cards",
    "ahead": f"Ahead: due within {AHEAD_DAYS} days",
    "cram": "Cram: no schedule moves",
}


@dataclass(frozen=True, kw_only=True)
class CardChoice:
    """A parsed query: /cards?deck=qlora&new=5, or &ahead=7, &reviews=300, &minutes=20, &cram=<when>.

    `ids=init-values,rank-doubles` are the only cards, new ones in this order.
    """

    wanted: CardFilter = field(default_factory=CardFilter)
    extra: RuleOverrides = field(default_factory=RuleOverrides)
    cram: str = ""

    @property
    def filters(self) -> dict[str, str]:
        """The query fields that filter the cards."""
        return list_filters(self.wanted)


def parse_filter(query: Mapping[str, str]) -> CardFilter:
    return CardFilter(**{name: query[name][:120] for name in FILTERS if query.get(name)})


def list_filters(wanted: CardFilter) -> dict[str, str]:
    return {name: value for name in FILTERS if (value := getattr(wanted, name))}


def read_choice(query: Mapping[str, str]) -> CardChoice:
    """Parse a query; values out of range are clamped, because anyone may have typed them."""
    extra = RuleOverrides(
        new_cards=_read_number(query, "new", high=500),
        reviews=_read_number(query, "reviews", high=9999),
        days_ahead=_read_number(query, "ahead", high=365) or 0,
        minutes=_read_number(query, "minutes", high=1440),
    )
    return CardChoice(wanted=parse_filter(query), extra=extra, cram=query.get("cram", "")[:40])


def build_url(filters: Mapping[str, str], **more: str) -> str:
    query = urlencode({name: value for name, value in {**filters, **more}.items() if value})
    return f"/cards?{query}" if query else "/cards"


def build_mode_query(how: str, *, new_today: int, now: datetime) -> dict[str, str]:
    """Return the query fields that a mode of study adds to the URL."""
    match how:
        case "new":
            return {"new": str(new_today + MORE_NEW)}
        case "ahead":
            return {"ahead": str(AHEAD_DAYS)}
        case "cram":
            return {"cram": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    return {}


def _read_number(query: Mapping[str, str], name: str, *, high: int) -> int | None:
    return form_event.read_number(query.get(name, ""), default=None, low=0, high=high)
