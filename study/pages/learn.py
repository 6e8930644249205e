"""Learn: the concept map with the mastery of each concept, and a search."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gradio as gr
from markupsafe import Markup

from study.content.concept_map_layout import CELL, Graph, lay_out_graph
from study.content.concepts import Concept
from study.learner import progress
from study.learner.mastery import compute_mastery
from study.learner.path import follow_path, list_understood, read_path_ids
from study.learner.study_modes import STUDY_MODES, count_done, parse_mode
from study.ports.context import Context, Visit
from study.ports.subjects import Subjects
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply


@dataclass(frozen=True, kw_only=True)
class LearnPage:
    place = frame.IslandPlace(elem_id="learn", title="Learn", path="/learn", look="learn")

    context: Context
    subjects: Subjects

    @cached_property
    def graph(self) -> Graph:
        """The layout, computed once because concepts don't change while the app runs."""
        return lay_out_graph(self.context.concepts)

    def load(self, request: gr.Request) -> Markup:
        """Render the map with this learner's mastery."""
        visit = frame.open_visit(self.context, request)
        graph, known = self.graph, compute_mastery(self.context.store, visit.profile.id, self.subjects)
        wanted, marks = visit.query.get("q", ""), self.context.store.lessons.marks(visit.profile.id)
        return render(
            "study/learn/learn.html",
            graph=graph,
            cell=CELL,
            concepts=self.context.concepts,
            mastery=known,
            path=follow_path(self.context.concepts, list_understood(marks, known)),
            on_path=read_path_ids(),
            told=count_done(marks),
            modes=len(STUDY_MODES),
            last=self._find_last(visit),
            wanted=wanted,
            found=self.find(wanted),
            rule=progress.MASTERY_RULE,
            level_rule=progress.LEVEL_RULE,
        )

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        frame.open_visit(self.context, request, event)
        if event.get("act") != "search":
            raise form_event.build_unknown_act_error(event)
        wanted = form_event.read_field(event, "q").strip()
        found = self.find(wanted)
        said = f"{len(found)} {'concept' if len(found) == 1 else 'concepts'} found." if wanted else ""
        return {
            "parts": {"found": render("study/learn/learn_found.html", wanted=wanted, found=found)},
            "say": said,
        }

    def find(self, wanted: str) -> list[Concept]:
        """Find concepts whose name, summary or terms contain every typed word; names come first."""
        asked = wanted.lower().split()
        if not asked:
            return []
        concepts = self.context.concepts.by_id.values()
        hits = [concept for concept in concepts if all(word in _join_searched(concept) for word in asked)]
        return sorted(hits, key=lambda concept: not all(word in concept.name.lower() for word in asked))

    def _find_last(self, visit: Visit) -> tuple[Concept, str, str] | None:
        """Find the concept and mode that the learner opened last."""
        marks = self.context.store.lessons.marks(visit.profile.id)
        for mark in reversed(marks):
            concept, mode = self.context.concepts.by_id.get(mark.concept_id), parse_mode(mark.mode)
            if concept and mode:
                return concept, mode, mode.capitalize()
        return None


def _join_searched(concept: Concept) -> str:
    return " ".join((concept.name, concept.summary, *concept.terms)).lower()
