"""Half characters (lone surrogates), which JSON may hold and UTF-8 can't."""

from typing import TypeVar, cast

from study.base.import_limits import is_broken

Text = TypeVar("Text", bound=str)

_MARKED = dict.fromkeys(range(0xD800, 0xE000), "?")


def replace_unencodable(text: Text) -> Text:
    """Return a text that can be sent and stored as UTF-8; HTML stays HTML.

    Half a character becomes a question mark.
    """
    return cast(Text, text.translate(_MARKED)) if is_broken(text) else text  # Markup's own returns Markup
