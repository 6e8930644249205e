r"""Content texts as other programs write them: HTML with `\(...\)` around formulas, and back.

Our markup has no escape for a dollar sign or a backtick that is meant as such; one that comes in becomes its
look-alike (a full-width dollar, a modifier grave) and goes out as the real one again.
"""

import re
from functools import lru_cache
from html import escape, unescape
from html.parser import HTMLParser

from study.base.import_limits import check_html
from study.text.markup import MARK, split_matches

_LOOKS_LIKE = {"$": "＄", "`": "ˋ"}
_REAL = {look: real for real, look in _LOOKS_LIKE.items()}

# A backslash before a bracket, or a bracket before `latex]`, would begin a formula; an empty element between
# them does not show.
_OPENS_FORMULA = re.compile(r"\\(?=[(\[\])])|\[(?=/?(?:\$\$?|latex)\])", re.IGNORECASE)

# What begins or ends a formula, and which end belongs to which beginning.
_DELIMITERS = re.compile(
    r"\\[()\[\]]|\[/?\$\$?\]|\[/?latex\]|<anki-mathjax[^<>]*>|</anki-mathjax>", re.IGNORECASE
)
_ENDS = {
    r"\(": r"\)",
    r"\[": r"\]",
    "[$]": "[/$]",
    "[$$]": "[/$]",
    "[latex]": "[/latex]",
    "<anki-mathjax>": "</anki-mathjax>",
}
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_BLOCKS = {"p", "div", "li", "tr", "hr", "h1", "h2", "h3", "h4", "ul", "ol", "table", "pre", "blockquote"}
_SILENT = {"style", "script", "head", "title", "template"}

# Private characters stand for what is kept as it is, and for a place where a block begins or ends.
_KEPT, _KEPT_END, _BLOCK = "\ue000", "\ue001", "\ue002"
_PRIVATE = re.compile("[\ue000-\ue002]")


def to_html(text: str) -> str:
    """A content text as HTML whose formulas MathJax finds."""
    html = "".join(
        _convert_words(piece) if isinstance(piece, str) else _convert_mark(piece)
        for piece in split_matches(MARK, text)
    )
    return re.sub(r" *(</?pre>) *", r"\1", html)


def convert_html(html: str) -> str:
    """The text of some HTML: formulas and code keep their marks, everything else loses its tags.

    Raises LearnerError when it is longer than `study/base/import_limits.py` allows.
    """
    check_html(html)
    reader = _Reader()
    reader.feed(_without_formulas(_PRIVATE.sub("", html), reader))
    reader.close()
    return reader.text()


@lru_cache(maxsize=8192)  # all texts of the app's cards and questions, which every import is compared with
def normalize_html(text: str) -> str:
    """The same for two texts that differ in nothing that HTML tells, such as spaces at line ends."""
    return to_html(convert_html(to_html(text)))


def list_images(html: str) -> list[str]:
    """The files that some HTML shows or plays."""
    return re.findall(r"<img[^>]*\bsrc=[\"']?([^\"'>]+)", html, re.IGNORECASE) + re.findall(
        r"\[sound:([^\]]+)\]", html
    )


def escape_plain(text: str) -> str:
    """A text from outside that is not HTML and has no markup of ours."""
    return _as_words(text).strip()


def _without_formulas(html: str, reader: "_Reader") -> str:
    """The HTML with each formula kept aside, in one pass: an end is looked for among the delimiters only."""
    found = [(match, _normalize_delimiter(match[0])) for match in _DELIMITERS.finditer(html)]
    next_end: dict[str, int] = {}  # by what ends a formula: the nearest one from here on
    ends: list[int | None] = []  # by delimiter: the one that ends the formula it begins
    for place in range(len(found) - 1, -1, -1):
        kind = found[place][1]
        ends.append(next_end.get(_ENDS[kind]) if kind in _ENDS else None)
        next_end[kind] = place
    ends.reverse()
    pieces: list[str] = []
    read = 0
    for (begin, kind), ended_by in zip(found, ends, strict=True):
        if ended_by is not None and begin.start() >= read:
            end = found[ended_by][0]
            kept = reader.keep_formula(html[begin.end() : end.start()], block=kind == r"\[")
            pieces += [html[read : begin.start()], kept]
            read = end.end()
    return "".join([*pieces, html[read:]])


def _normalize_delimiter(written: str) -> str:
    """A delimiter without what may vary in it."""
    lower = written.lower()
    if lower.startswith("<anki-mathjax"):
        return "<anki-mathjax>"
    return "[/$]" if lower == "[/$$]" else lower


def _convert_mark(mark: re.Match[str]) -> str:
    if mark["block"]:
        return f"<pre><code>{_convert_code(mark['block'])}</code></pre>"
    if mark["code"]:
        return f"<code>{_convert_code(mark['code'])}</code>"
    if mark["display"]:
        return rf"\[{escape(mark['display'], quote=False)}\]"
    return rf"\({escape(mark['math'], quote=False)}\)"


def _convert_code(text: str) -> str:
    return _OPENS_FORMULA.sub(r"\g<0><wbr>", escape(text, quote=False))


def _convert_words(text: str) -> str:
    real = "".join(_REAL.get(character, character) for character in text)
    return _OPENS_FORMULA.sub(r"\g<0><wbr>", escape(real, quote=False)).replace("\n", "<br>")


class _Reader(HTMLParser):
    """Collects words, line breaks and code."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._kept: list[str] = []
        self._silent = 0
        self._as_typed = 0
        self._code: list[str] | None = None

    def keep_formula(self, written: str, *, block: bool) -> str:
        formula = unescape(_TAG.sub(" ", written)).replace("$", "")
        if block and formula.strip():
            return self._keep(f"$${formula}$$")
        return self._keep(f"${formula}$".replace("\n", " ")) if formula else ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif tag in ("code", "tt") and self._code is None:
            self._code = []
        elif tag == "br":
            self._put("\n")
        elif tag in _BLOCKS:
            self._as_typed += tag == "pre"
            self._put(_BLOCK)

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag in ("code", "tt") and self._code is not None:
            code, self._code = "".join(self._code), None
            self._pieces.append(
                self._keep(_as_code(code, block=self._as_typed > 0)) if code.strip() else code
            )
        elif tag in _BLOCKS:
            self._as_typed = max(0, self._as_typed - (tag == "pre"))
            self._put(_BLOCK)

    def handle_data(self, data: str) -> None:
        if not self._silent:
            spaced = data if self._as_typed else re.sub(r"[\n\r\t\u00a0]", " ", data)
            self._put(spaced if self._code is not None else _as_words(spaced))

    def text(self) -> str:
        text = "".join([*self._pieces, *(self._code or ())])
        text = re.sub(rf"(?<!\s)\s*{_BLOCK}[\s{_BLOCK}]*", "\n", re.sub(r" {2,}", " ", text))
        text = re.sub(r" ?\n ?", "\n", text).strip()
        return re.sub(rf"{_KEPT}(\d+){_KEPT_END}", lambda found: self._kept[int(found[1])], text)

    def _keep(self, text: str) -> str:
        self._kept.append(text)
        return f"{_KEPT}{len(self._kept) - 1}{_KEPT_END}"

    def _put(self, data: str) -> None:
        (self._pieces if self._code is None else self._code).append(data)


def _as_code(code: str, *, block: bool) -> str:
    """Code keeps its dollar signs; only a backtick would end it."""
    lines = code.replace("`", _LOOKS_LIKE["`"]).replace(_BLOCK, "\n").strip("\n")
    return f"```\n{lines}\n```" if block or "\n" in lines else f"`{lines}`"


def _as_words(words: str) -> str:
    return "".join(_LOOKS_LIKE.get(character, character) for character in words)
