"""Half characters (lone surrogates), which JSON may hold and UTF-8 can't."""


def replace_unencodable(text: str) -> str:
    """Return a text that can be sent and stored as UTF-8.

    Half a character becomes a question mark.
    """
    return text.encode("utf-8", "replace").decode()
