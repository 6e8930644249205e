"""Parser of the printed line in a text: formats of several PEFT versions and of related tools."""

import re
from dataclasses import dataclass

from lora_lab.claims.claim import Printed

SCALED = r"(?:\s*([KkMmBb]|thousand|million|billion)(?![A-Za-z]))?"
NUMBER = rf"(\d[\d.,_'’\u00a0\u202f\u2009 ]{{0,38}}\d|\d){SCALED}"
COLON = r"(?:\*\*|`|\"|')?\s*(?:[:=]|is|are)\s*(?:\*\*|`)?\s*(?:~|≈|about|approximately|around)?\s*"
PERCENT = r"(\d+(?:[.,]\d+)?(?:e-?\d+)?)"

PARAMETERS = r"[ _]*(?:params|parameters|model parameters|parameter count)"
TRAINABLE = re.compile(rf"(?:number of )?trainable(?:{PARAMETERS})?{COLON}{NUMBER}(?!\s*%)", re.I)
TOTAL = re.compile(rf"(?:all|total)[ _]*(?:model )?(?:params?|parameters)(?: count)?{COLON}{NUMBER}", re.I)
OF_SHARE = (
    r"trainable\s*%",
    r"trainable percent(?:age)?",
    r"percent(?:age)?(?: of)? trainable(?: model)?(?: params| parameters)?",
    r"trainable(?: params| parameters)? ?\(?%\)?",
    r"trainable ?",
)
SHARE = re.compile(rf"(?:{'|'.join(OF_SHARE)}){COLON}{PERCENT}", re.I)
OF_TOTAL = re.compile(
    rf"trainable[ _]*(?:params|parameters){COLON}{NUMBER}\s*(?:/|of|out of)\s*{NUMBER}"
    rf"(?:\s*\(?\s*{PERCENT}\s*%)?",
    re.I,
)
AFTER_TOTAL = re.compile(r"[\s|#,;]*\(?\s*~?\s*(\d+(?:[.,]\d+)?)\s*%")
SCALE = {"k": 10**3, "m": 10**6, "b": 10**9}


@dataclass(frozen=True)
class PrintedLine:
    """The printed numbers, and where they begin in the text."""

    printed: Printed
    start: int


def find_printed_line(text: str) -> PrintedLine | None:
    """Find the first printed line; None when the text has none."""
    both = OF_TOTAL.search(text)
    if both:
        trainable, scale, total, total_scale, percent = both.groups()
        return PrintedLine(
            Printed(
                trainable=parse_whole(trainable, scale),
                total=parse_whole(total, total_scale),
                percent=percent,
            ),
            both.start(),
        )
    first = TRAINABLE.search(text)
    total_at = TOTAL.search(text, first.start() if first else 0)
    share = SHARE.search(text, first.end() if first else 0)
    if share is None and total_at is not None:
        share = AFTER_TOTAL.match(text, total_at.end())
    found = [each for each in (first, total_at, share) if each]
    if not found:
        return None
    return PrintedLine(
        Printed(
            trainable=parse_whole(*first.groups()) if first else None,
            total=parse_whole(*total_at.groups()) if total_at else None,
            percent=share[1].replace(",", ".") if share else None,
        ),
        min(each.start() for each in found),
    )


def parse_whole(written: str, scale: str | None = None) -> int:
    """Parse a number with any thousands separators, a float's `.0`, or a scale such as K, M or B."""
    digits = re.sub(r"[_'’\s]", "", written)
    if scale:
        parts = re.split(r"[.,]", digits)  # one separator is a decimal point, several are of thousands
        number = ".".join(parts) if len(parts) == 2 else "".join(parts)
        return round(float(number) * SCALE[scale[0].lower() if scale[0] != "t" else "k"])
    if re.fullmatch(r"\d+\.\d{1,2}|\d+\.0+", digits):  # a float, as qlora.py prints it
        return round(float(digits))
    return int(re.sub(r"[.,]", "", digits))
