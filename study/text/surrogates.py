"""Half characters (lone surrogates), which JSON may hold and UTF-8 can't."""

from typing import TypeVar, cast

Text = TypeVar("Text", bound=str)

_MARKED = dict.fromkeys(range(0xD800, 0xE000), "?")


def replace_unencodable(text: Text) -> Text:
    """Return a text that can be sent and stored as UTF-8; HTML stays HTML.

    Half a character becomes a question mark.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return cast(Text, text.translate(_MARKED))  # Markup's own returns Markup
    return text
