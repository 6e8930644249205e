"""Gradio's script of an HTML component as it is sent: without Handlebars, a template language we don't use.

Gradio puts a component's template through Handlebars, and then evaluates what comes out as a template of
JavaScript. Our templates have no `{{`, and Handlebars returns such a template as it is. It is most of that
script, a tenth of what a browser fetches for its first page.
"""

import re

LIBRARY = re.compile(
    r"var [\w$]+=[\w$]+\(\(e=>\{e\.__esModule=!0,e\.extend=.+\}\)\)\(\)\),(?=[\w$]+=new Map,)", re.DOTALL
)
"""All of Handlebars, which the bundler has put before the component's own names."""

USE = re.compile(r"\b([\w$]+)\.default\.compile\(e\)\(t\)")


def cut_handlebars(script: str) -> str:
    """Replace Handlebars by a function that returns its template; a script in another form stays whole."""
    uses, libraries = USE.findall(script), LIBRARY.findall(script)
    if len(uses) != 1 or len(libraries) != 1:
        return script
    stub = f"var {uses[0]}={{default:{{compile:e=>()=>e}}}},"
    return script.replace(libraries[0], stub)
