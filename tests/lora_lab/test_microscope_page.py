"""The Microscope page's handlers: choose, guess, look, be told, stop."""

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.datastructures import QueryParams

from lora_lab.home import write_json
from lora_lab.inspections import Inspection
from lora_lab.lab import Lab
from lora_lab.microscope.question import KIND, Question, Scheme
from lora_lab.pages.microscope import PANELS, MicroscopePage
from lora_lab.runs.local import LocalEngine
from study.context import Context, Visit
from study.errors import LearnerError
from study.frame import Reply
from study.web import COOKIE
from tests.lora_lab.microscope_findings import FOUND
from tests.visits import words

TINY = Question(model="tiny-random", matrix="self_attn.q_proj")


@dataclass
class Visitor:
    """One browser on the page."""

    page: MicroscopePage
    cookies: dict[str, str] = field(default_factory=lambda: {COOKIE: "browser-of-ana"})
    query_params: QueryParams = field(default_factory=QueryParams)
    query: str = ""

    def opens(self, address: str) -> str:
        self.query_params = QueryParams(urlsplit(address).query)
        self.query = f"?{self.query_params}"
        return self.page.load(self)

    def sends(self, act: str, **values: Any) -> Reply:
        reply = self.page.act({"act": act, "query": self.query} | values, self)
        if "url" in reply:
            self.query = f"?{urlsplit(reply['url']).query}"
        return reply

    def moves(self, question: Question, **fields: str) -> Reply:
        return self.sends("change", fields=_form(question) | {name: [text] for name, text in fields.items()})


def _form(question: Question) -> dict[str, list[str]]:
    return {name: [value] for name, value in question.address.items()}
