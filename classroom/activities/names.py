"""Two-word names for students, drawn at random, and what a typed name may be."""

import re
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

REFUSED = ("fuck", "shit", "cunt", "bitch", "nigg", "fagg", "nazi", "hitler", "rape", "penis", "vagina", "porn", "slut", "whore", "wank")  # fmt: skip  # noqa: E501
_LETTERS = re.compile(r"[^\W_]+(?:[ '\-.][^\W_]+)*\.?")


def draw_name(taken: Collection[str], dice: Random) -> str:
    """Draw a name that nobody in the room has; with all words in use, a number is added."""
    for _ in range(40):
        name = f"{dice.choice(FIRST)} {dice.choice(SECOND)}"
        if name not in taken:
            return name
    number = 2
    while f"{name} {number}" in taken:
        number += 1
    return f"{name} {number}"


def read_name(typed: str, taken: Collection[str]) -> str:
    """Check a typed name. Raises LearnerError when it is empty, too long, offensive or taken."""
    name = " ".join(typed.split())
    do_next = "Type another one, or keep the one you were given."
    if not name or len(name) > LONGEST_NAME or not _LETTERS.fullmatch(name):
        raise LearnerError(f"A name has 1 to {LONGEST_NAME} letters or digits.", do_next=do_next)
    squeezed = re.sub(r"[^a-z]", "", name.lower().translate(str.maketrans("013457", "oieast")))
    if any(word in squeezed for word in REFUSED):
        raise LearnerError("That name can't be shown in class.", do_next=do_next)
    if name.lower() in {each.lower() for each in taken}:
        raise LearnerError("Someone in this class has that name.", do_next=do_next)
    return name
