"""Half of a character, which JSON can hold and UTF-8 can't, is refused on its way in and can be shown."""

from study.base.import_limits import is_broken, list_length_problems
from study.io.exchange import shorten


def test_half_a_character_is_a_problem_of_its_field() -> None:
    assert is_broken("a\ud800")
    assert not is_broken("a\U0001f642")
    assert list_length_problems([("front", "\udfff")]) == ["its front holds half of a character"]


def test_a_shortened_text_can_be_sent() -> None:
    assert shorten("a \ud800 b").encode() == b"a ? b"
