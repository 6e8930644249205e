"""Parser of the printed line in a text: formats of several PEFT versions and of related tools."""

import re
from dataclasses import dataclass

from lora_lab.claims.claim import Printed

SCALED = r"(?:\s*([KkMmBb]|thousand|million|billion|(?<=\d)[Ee]\+?\d{1,2})(?![A-Za-z]))?"
NUMBER = rf"(\d[\d.,_'’\u00a0\u202f\u2009 ]{{0,38}}\d|\d){SCALED}"
EXACT = r"(?<![\w.,])(\d{1,3}(?:[.,_'’\u00a0\u202f\u2009 ]\d{3})+|\d{4,})(?!\w)"
GAP = r"\s*+"
"""Possessive, so that a text of spaces is not tried in every division between two of them."""

MARKS = r"(?:\*\*|`)"
ABOUT = r"(?:~|≈|about|approximately|around)"
CELL = r"\|(?=[ *`~]*\d[\d.,_]{2,})"
"""The border of a table's cell; `4bit` in the next cell isn't a count."""

COLON = rf"(?:{MARKS}|\"|')?{GAP}(?:[:=]|is|are|{CELL}){GAP}{MARKS}?+{GAP}{ABOUT}?+{GAP}"
PERCENT = r"(\d+(?:[.,]\d+)?(?:e-?\d+)?)"
OF = rf"{GAP}(?:/|of|out of){GAP}"
IN_BRACKETS = rf"(?:{GAP}\(?{GAP}{PERCENT}{GAP}%)?"

PARAMETERS = r"[ _]*(?:params|parameters|model parameters|parameter count)"
WORD = r"(?<![A-Za-z])(?<!non[-_ ])trainable"
TRAINABLE = re.compile(rf"{WORD}(?:{PARAMETERS})?{COLON}{NUMBER}(?![\d.,]*{GAP}%)", re.I)
ALL = r"(?<![A-Za-z])(?:all|total)"
TOTAL = re.compile(
    rf"{ALL}(?: number of)?[ _]*(?:model )?(?:params?|parameters)(?: count)?{COLON}{NUMBER}", re.I
)
BARE_TOTAL = re.compile(rf"[ \t|/,;*`]*(?:all|total){COLON}{NUMBER}", re.I)
OF_SHARE = (
    rf"{WORD}{GAP}%",
    rf"{WORD}[ _]*(?:percent(?:age)?|pct)",
    rf"percent(?:age)?(?: of)? {WORD}(?: model)?(?: params| parameters)?",
    rf"{WORD}(?: params| parameters)? ?\(?%\)?",
    rf"{WORD} ?(?=[:=])",
)
SHARE = re.compile(rf"(?:{'|'.join(OF_SHARE)}){COLON}{PERCENT}", re.I)
NAMED_SHARE = rf"(?:(?:percent(?:age)?|share){GAP}[:=]{GAP})"
SHARE_BESIDE = re.compile(rf"[ \t|#,;*`]*{NAMED_SHARE}?\(?[ ~]*{PERCENT}{GAP}%(?:{GAP}of{GAP}{EXACT})?", re.I)
"""A percentage straight after a number. On its line: the next one may be a progress bar's."""

OF_TOTAL = re.compile(rf"{WORD}[ _]*(?:params|parameters){COLON}{NUMBER}{OF}{NUMBER}{IN_BRACKETS}", re.I)
SHARE_FIRST = re.compile(
    rf"{WORD}{PARAMETERS}{COLON}{PERCENT}{GAP}%{GAP}\({GAP}{EXACT}{OF}{EXACT}{GAP}\)", re.I
)
NUMBER_FIRST = (
    re.compile(rf"{EXACT}{OF}{EXACT}{GAP}(?:params|parameters){GAP}(?:are )?{WORD}{IN_BRACKETS}", re.I),
    re.compile(rf"{EXACT}{GAP}{WORD}{PARAMETERS}(?:,?{OF}(?:a total of )?{EXACT})?{IN_BRACKETS}", re.I),
)
ONLY_SHARE = re.compile(rf"{WORD}{PARAMETERS}{COLON}{PERCENT}{GAP}%(?!{GAP}\({GAP}\d)", re.I)
"""Not followed by counts in millions, which mlx-lm prints: those aren't exact."""

SHORT_PERCENT = r"(\d{1,3}+(?:[.,]\d{1,20}+)?)"
"""As a person writes it; a text of digits is not tried from each of them to its end."""

OF_WEIGHTS = r"(?:parameters|params|weights)\b"
SHARE_IN_PROSE = (
    re.compile(
        rf"\btrain(?:s|ed|ing)?{GAP}(?:only{GAP}|just{GAP})?(?:{ABOUT}|roughly)?{GAP}(?:only{GAP})?"
        rf"{SHORT_PERCENT}{GAP}%{GAP}of{GAP}"
        rf"(?:the |its |all |all the |(?:[\w.'’-]+ ){{1,5}})?(?:(?:model|total)(?:['’]s)? )?{OF_WEIGHTS}",
        re.I,
    ),
    re.compile(
        rf"(?<![\d.,]){SHORT_PERCENT}{GAP}%{GAP}of{GAP}(?:the |its |all |all the )?"
        rf"(?:(?:model|total)(?:['’]s)? )?{OF_WEIGHTS}"
        rf"{GAP}(?:is|are|were|was)?{GAP}(?:being )?train(?:able|ed)\b",
        re.I,
    ),
)
"""`trains 0.6 % of the weights`, `only 0.0622% of parameters are trainable`."""

LINES_BEFORE = 3
"""How far a total may stand before the trainable count and still belong to it."""

SCALE = {"k": 10**3, "t": 10**3, "m": 10**6, "b": 10**9}


@dataclass(frozen=True)
class PrintedLine:
    """The printed numbers, and where they begin in the text."""

    printed: Printed
    start: int

    @property
    def is_of_base(self) -> bool:
        """Whether all parameters are trained, or none; not of a line without a count."""
        return self.printed.trainable is not None and self.printed.trainable in (0, self.printed.total)


def find_printed_line(text: str) -> PrintedLine | None:
    """Find the first printed line that tells of adapters; None when the text has none.

    A line of the base alone, as many notebooks print it before they add adapters, counts only where no other
    follows.
    """
    line = _find_first(text)
    if line is None or not line.is_of_base:
        return line
    after = text.find("\n", line.start)
    later = _find_first(text[after:]) if after >= 0 else None
    if later is None or later.printed.trainable is None or later.is_of_base:
        return line
    return PrintedLine(later.printed, after + later.start)


def _find_first(text: str) -> PrintedLine | None:
    return _find_of_total(text) or _find_labelled(text) or _find_number_first(text) or _find_share(text)


def _find_of_total(text: str) -> PrintedLine | None:
    """Find both counts in one phrase: `trainable params: 4,194,304 of 6,742,609,920 (0.06%)`."""
    found = OF_TOTAL.search(text)
    if found:
        trainable, scale, total, total_scale, percent = found.groups()
        return _build_line(found, parse_whole(trainable, scale), parse_whole(total, total_scale), percent)
    found = SHARE_FIRST.search(text)
    if found:
        percent, trainable, total = found.groups()
        return _build_line(found, parse_whole(trainable), parse_whole(total), percent)
    return None


def _find_labelled(text: str) -> PrintedLine | None:
    """Find counts behind their labels: `trainable params: 4,194,304 || all params: 6,742,609,920`."""
    first = TRAINABLE.search(text)
    total_at = _find_total(text, first) if first else TOTAL.search(text)
    beside = None
    for each in (total_at, first):
        beside = beside or (SHARE_BESIDE.match(text, each.end()) if each else None)
    share = beside or SHARE.search(text, first.end() if first else 0)
    found = [each for each in (first, total_at, share) if each]
    if not found:
        return None
    total = parse_whole(*total_at.groups()) if total_at else None
    if beside and beside[2] and total is None:  # `4,194,304 (0.0622% of 6,742,609,920)`
        total = parse_whole(beside[2])
    return _build_line(
        min(found, key=re.Match.start),
        parse_whole(*first.groups()) if first else None,
        total,
        share[1] if share else None,
    )


def _find_total(text: str, first: re.Match[str]) -> re.Match[str] | None:
    """Find the total that belongs to a trainable count: the nearest one, at the same distance the later."""
    after = BARE_TOTAL.match(text, first.end()) or TOTAL.search(text, first.end())
    lines = text[: first.start()].split("\n")[-1 - LINES_BEFORE :]
    earlier = list(TOTAL.finditer(text, first.start() - len("\n".join(lines)), first.start()))
    if after is None or not earlier:
        return after or (earlier[-1] if earlier else None)
    before, lines_after = earlier[-1], text.count("\n", first.end(), after.start())
    return before if text.count("\n", before.end(), first.start()) < lines_after else after


def _find_number_first(text: str) -> PrintedLine | None:
    """Find counts before their words: `4,194,304 trainable parameters out of 6,742,609,920`."""
    for pattern in NUMBER_FIRST:
        found = pattern.search(text)
        if found:
            trainable, total, percent = found.groups()
            whole = parse_whole(total) if total else None
            return _build_line(found, parse_whole(trainable), whole, percent)
    return None


def _find_share(text: str) -> PrintedLine | None:
    """Find a share without counts: `trainable params: 0.1% of total`."""
    found = ONLY_SHARE.search(text)
    for pattern in SHARE_IN_PROSE:
        found = found or pattern.search(text)
    return _build_line(found, None, None, found[1]) if found else None


def _build_line(
    found: re.Match[str], trainable: int | None, total: int | None, percent: str | None
) -> PrintedLine:
    share = percent.replace(",", ".") if percent else None
    return PrintedLine(Printed(trainable=trainable, total=total, percent=share), found.start())


def parse_whole(written: str, scale: str | None = None) -> int:
    """Parse a number with any thousands separators, a float's `.0`, or a scale such as K, million or e7."""
    digits = re.sub(r"[_'’\s]", "", written)
    if scale:
        parts = re.split(r"[.,]", digits)  # one separator is a decimal point, several are of thousands
        number = ".".join(parts) if len(parts) == 2 else "".join(parts)
        unit = scale.lower()
        return round(float(f"{number}{unit}") if unit.startswith("e") else float(number) * SCALE[unit[0]])
    if re.fullmatch(r"\d+\.\d{1,2}|\d+\.0+", digits):  # a float, as qlora.py prints it
        return round(float(digits))
    return int(re.sub(r"[.,]", "", digits))
