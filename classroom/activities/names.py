"""Two-word names for students, drawn at random, and what a typed name may be."""

import re
import unicodedata
from collections.abc import Collection
from random import Random

from study.base.errors import LearnerError

LONGEST_NAME = 24

FIRST = (
    "Amber", "Brave", "Bright", "Calm", "Clever", "Copper", "Coral", "Cosmic", "Crisp", "Curious", "Daring",
    "Eager", "Early", "Fair", "Fleet", "Gentle", "Golden", "Happy", "Honest", "Indigo", "Jolly", "Keen",
    "Kind", "Lively", "Lucky", "Mellow", "Merry", "Mighty", "Nimble", "Noble", "Patient", "Polite", "Quick",
    "Quiet", "Rapid", "Ready", "Royal", "Scarlet", "Silver", "Steady", "Sunny", "Swift", "Tidy", "Velvet",
    "Vivid", "Warm", "Wise", "Witty",
)  # fmt: skip
SECOND = (
    "Badger", "Beaver", "Bison", "Comet", "Condor", "Crane", "Dolphin", "Eagle", "Falcon", "Finch", "Fox",
    "Gecko", "Heron", "Ibis", "Jaguar", "Kestrel", "Koala", "Lark", "Lemur", "Lynx", "Magpie", "Maple",
    "Marten", "Meadow", "Meteor", "Moose", "Narwhal", "Ocelot", "Orca", "Osprey", "Otter", "Owl", "Panda",
    "Pelican", "Penguin", "Petrel", "Puffin", "Quail", "Raven", "Robin", "Salmon", "Seal", "Sparrow", "Swan",
    "Tiger", "Toucan", "Walrus", "Willow",
)  # fmt: skip

REFUSED = ("fuck", "bitch", "nigger", "nigga", "faggot", "hitler", "penis", "vagina", "whore")
REFUSED_WORDS = {"shit", "cunt", "nazi", "rape", "porn", "slut", "wank"}
"""Refused as a whole word only: they are also a part of names, such as Draper, Ignazio and Slutsky."""

LETTERS_AND_SIGNS = re.compile(r"(?:am{0,3})+(?:[ '’\-._@](?:am{0,3})+)*\.?")
"""What `_reduce_to_kinds` makes of a name; a user name or an address of Moodle is one too."""


def draw_name(taken: Collection[str], rng: Random) -> str:
    """Draw a name that nobody in the room has; with all words in use, a number is added."""
    for _ in range(40):
        name = f"{rng.choice(FIRST)} {rng.choice(SECOND)}"
        if name not in taken:
            return name
    number = 2
    while f"{name} {number}" in taken:
        number += 1
    return f"{name} {number}"


def read_name(typed: str, taken: Collection[str]) -> str:
    """Check a typed name. Raises LearnerError when it is empty, too long, offensive or taken."""
    # One spelling of what looks the same: ë is one sign or two, and letters come in full width.
    name = " ".join(unicodedata.normalize("NFKC", typed).split())
    do_next = "Type another one, or keep the one you were given."
    if not name or len(name) > LONGEST_NAME or not LETTERS_AND_SIGNS.fullmatch(_reduce_to_kinds(name)):
        raise LearnerError(
            f"A name has 1 to {LONGEST_NAME} letters or digits, and between them signs such as - . _ or @.",
            do_next=do_next,
        )
    words = re.findall("[a-z]+", name.lower().translate(str.maketrans("013457", "oieast")))
    squeezed = "".join(words)
    whole = {word.removesuffix("s") for word in (*words, squeezed)}
    if any(word in squeezed for word in REFUSED) or whole & REFUSED_WORDS:
        raise LearnerError("That name can't be shown in class.", do_next=do_next)
    if name.lower() in {each.lower() for each in taken}:
        raise LearnerError("Someone in this class has that name.", do_next=do_next)
    return name


def _reduce_to_kinds(name: str) -> str:
    """A name with `a` for each letter or digit, and `m` for each mark that a script writes on a letter."""
    return "".join(
        "m" if unicodedata.category(sign).startswith("M") else "a" if sign.isalnum() else sign
        for sign in name
    )
