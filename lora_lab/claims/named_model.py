"""The catalogue model that a text names: in a call, an option, or its prose."""

import re
from collections.abc import Iterator
from functools import cache

from lora_lab.claims.snippets import find_assigned, find_option
from lora_lab.parameters.catalogue import CatalogueEntry, read_entries
from study.base.errors import LearnerError

_COPIES = (
    r"hf|chat|instruct|it|pt|base|bnb|4bit|8bit|int4|int8|gptq|awq|aqlm|unsloth|sharded|bf16|fp16|"
    r"deduped|uncased|2507|dpo|sft|\d+k|2bit|1x16|2x8"
)
FORKS = re.compile(rf"[-_. ](?:{_COPIES})(?![a-z0-9])", re.I)
"""Suffixes that name a fork or a quantized copy with the same shapes."""

ENDINGS = re.compile(rf"[-_. ](?:{_COPIES}|v0[._]\d|v1[._]\d|v1|v2)(?![a-z0-9])", re.I)
"""The same suffixes and versions, which mostly share their shapes too."""

AS_WRITTEN = re.compile(r"(?!)")
"""No suffix at all: the `base` of t5-base is a size, and what is left of it without would be two letters."""

_BETWEEN = rf"(?:[-_. ](?:[\d.]+b|chat|{_COPIES}))*+"
"""Parts of a name between a family and its version: Mistral-7B-Instruct-v0.2."""

MOST_WORDS = 4000
MOST_LOADED = 50
LONGEST_WRITTEN_NAME = 500

LOADING = re.compile(r"(\w{0,60})\.?from_pretrained\(\s*(?:\w+\s*=\s*)?([^,)\n]+)")
NO_MODEL = re.compile(r"Tokenizer|Processor|Config|FeatureExtractor")
ADAPTER = re.compile(r"Peft|Adapter")
OPTIONS = (
    "base_model_name_or_path", "model_name_or_path", "model_name", "model_id", "base_model",
    "model_checkpoint", "model_path", "checkpoint", "model", "MODEL_NAME", "MODEL_ID",
    "BASE_MODEL", "MODEL",
)  # fmt: skip
HUB_ID = re.compile(r"\w[\w-]*/[\w.-]+")
BARE_ID = re.compile(r"\w+(?:-[\w.]+)+")
"""A name on the hub without its owner; not a word such as `output`."""

HUB_ID_IN_TEXT = re.compile(r"(?<![\w.-])[.-]*+([\w.-]++/[\w.-]+\b)")

GENERIC_TYPES = ("bert", "roberta", "xlm-roberta", "distilbert", "albert", "t5", "bart", "gpt2", "vit")
"""Types whose names say nothing of whose model it is: klue/bert-base has another vocabulary than Google's."""


def find_model(text: str) -> CatalogueEntry:
    """Find the catalogue model that the text names.

    A model that is loaded by name is the one, known or not; prose counts where no name is given. Raises
    LearnerError when the catalogue has no such model.
    """
    first_unknown = ""
    for name, is_loaded in _list_explicit(text):
        found = find_named_entry(name)
        if found is not None:
            return found
        if HUB_ID.fullmatch(name) or (is_loaded and BARE_ID.fullmatch(name)):
            raise _build_unknown(name)
        first_unknown = first_unknown or name
    for name in (*_list_loaded(text, tokenizers=True), *HUB_ID_IN_TEXT.findall(text), *_list_ngrams(text)):
        found = find_named_entry(name)
        if found is not None:
            return found
    raise _build_unknown(first_unknown)


def _build_unknown(name: str) -> LearnerError:
    what = f"{name!r} is not a model that the catalogue knows." if name else "The text names no known model."
    return LearnerError(
        what, do_next="Name one of the catalogue's models, or paste the model's config.json with it."
    )


def _list_explicit(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the names that the text gives to its model, those that are loaded first, and whether they are."""
    yield from ((name, True) for name in _list_loaded(text, tokenizers=False))
    for option in OPTIONS:
        if value := find_option(text, option):
            yield value, False


def _list_loaded(text: str, *, tokenizers: bool) -> Iterator[str]:
    """Yield the names of models, or of tokenizers and processors, whose names mostly are the model's too."""
    for loader, argument in LOADING.findall(text)[:MOST_LOADED]:
        if bool(NO_MODEL.search(loader)) == tokenizers and not ADAPTER.search(loader):
            yield from _resolve(argument, text)


def _resolve(argument: str, text: str) -> Iterator[str]:
    """Yield the name that an argument is, or that its variable has."""
    name = argument.strip()
    if name[:1] in "\"'":
        yield name.strip("\"'")
    elif name.isidentifier() and isinstance(value := find_assigned(text, name), str):
        yield value


def _list_ngrams(text: str) -> Iterator[str]:
    """Yield n-grams of up to five words that may be a model's name, longest first: `Llama 2 7B`."""
    words = re.findall(r"[A-Za-z0-9][\w.-]*", text)[:MOST_WORDS]
    for length in (5, 4, 3, 2, 1):
        for at in range(len(words) - length + 1):
            yield "-".join(words[at : at + length])


def find_named_entry(written: str) -> CatalogueEntry | None:
    """Find a catalogue entry by name, hub id, or a name that differs only in its suffixes."""
    if len(written) > LONGEST_WRITTEN_NAME:
        return None
    for endings in (AS_WRITTEN, FORKS, ENDINGS):
        key = _normalize_name(written, endings)
        found = _index_by_plain_name(endings).get(key) if len(key) > 2 else None
        if found is not None:
            return None if _is_anothers(written, found) else found
    return None


def list_versions(name: str, text: str) -> list[str]:
    """Return the other versions of a catalogue model, whose names differ in a suffix, if a text says none:
    `Mistral 7B` is the first version, or the third with its larger vocabulary.
    """
    family = re.split(r"[-_. ]", name)[0]
    if re.search(rf"(?<![a-z0-9]){re.escape(family)}{_BETWEEN}[-_. ]?v\d", text, re.I):
        return []
    key = _normalize_name(name, ENDINGS)
    names = [entry.name for entry in read_entries()]
    return [each for each in names if each != name and _normalize_name(each, ENDINGS) == key]


def _is_anothers(written: str, entry: CatalogueEntry) -> bool:
    """Return whether the name is of somebody else's model, of a type that many have trained from scratch."""
    owner, _, rest = written.strip().lower().partition("/")
    is_path = "/" in rest or owner in ("", ".", "..")
    if entry.config["model_type"] not in GENERIC_TYPES or not rest or is_path:
        return False
    return not any(hub_id.lower().startswith(f"{owner}/") for hub_id in (entry.hub_id, *entry.also))


def _normalize_name(name: str, endings: re.Pattern[str]) -> str:
    """Normalize a name: drop owner, suffixes of forks and quantized copies, case and separators.

    A point between digits stays: opt-1.3b is not opt-13b.
    """
    shorter = name.strip().rstrip("/.").rsplit("/", 1)[-1].lower()
    longer = ""
    while shorter != longer:
        longer, shorter = shorter, endings.sub("", shorter)
    return re.sub(r"(?<!\d)\.|\.(?!\d)|[-_ ]|meta-", "", re.sub(r"(?<=\d)_(?=\d)", ".", shorter))


@cache
def _index_by_plain_name(endings: re.Pattern[str]) -> dict[str, CatalogueEntry]:
    found: dict[str, CatalogueEntry] = {}
    for entry in read_entries():
        for name in (entry.name, entry.hub_id, *entry.also):
            if name:
                found.setdefault(_normalize_name(name, endings), entry)
    return found
