"""Complete forms of the page that says whether a run fits."""

from lora_lab.views.memory_form import read_fields


def complete(given: dict[str, str]) -> dict[str, str]:
    """Return the form with these values and the defaults of all others; each value must be allowed."""
    fields, problems = read_fields(given)
    assert problems == {}
    return fields
