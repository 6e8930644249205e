"""An explanation as it is asked for: a box, what the grader reads in it, people's marks, a second try."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from markupsafe import Markup

from quizzes.explain.advice import Advices, load_advice
from quizzes.explain.agreement import LABELS_NEEDED, agreement
from quizzes.explain.grade import SelfGrader, Verdict, covered
from quizzes.explain.grading import Grading
from quizzes.explain.limits import Measured, limits_sentence, read_measured
from quizzes.explain.marks import Marks
from quizzes.explain.own import OwnPrompts
from quizzes.explain.prompts import Prompt, load_prompts
from quizzes.explain.readings import Desk, ReadingRoom, Trouble
from quizzes.explain.standing import (
    Standing,
    evidence,
    fingerprint,
    gained,
    opinions,
    reads_as_english,
    standings,
    unread,
)
from study import events
from study.concepts import ConceptMap
from study.context import Context, Visit
from study.errors import LearnerError
from study.markup import to_plain
from study.stations import AskForCards, Piece, Steps
from study.store import Store
from study.store.explains import ExplainAttempt, Opinion, draft_key
from study.store.runs import ReviewRun
from study.templates import render

SECONDS_AN_EXPLANATION = 90.0
ANSWER_LIMIT = 5_500
"""Characters of an explanation, some 900 words; with four replies it stays within what the grader reads."""

ANY_LENGTH = 4_000_000
"""What the door lets in (study/web.py): a text over its limit is refused in words, not as a broken press."""

NEED_WORK = ("missing", "contradicted")
SPOKEN: Mapping[Verdict, str] = {
    "covered": "said",
    "partial": "partly said",
    "contradicted": "contradicted",
    "missing": "missing",
    "unsure": "unsure",
}


@dataclass(frozen=True, kw_only=True)
class ExplainExercise:
    """Asks for an explanation and has it judged; the Explain page and the review use it."""

    store: Store
    prompts: Mapping[str, Prompt]
    """The app's own; a learner's are found with `prompt` and `prompts_of`."""

    concepts: ConceptMap
    advices: Advices
    own: OwnPrompts
    marks: Marks
    room: ReadingRoom
    measured: Measured | None
    ask_for_cards: AskForCards
    label: str = "explanation"

    @property
    def subjects(self) -> Mapping[str, tuple[str, ...]]:
        """Which concepts each prompt is about."""
        return {prompt.id: prompt.links for prompt in self.prompts.values()}

    @property
    def idea_subjects(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """Which study concepts each concept of a prompt is about, by prompt id and concept id."""
        return {key: (advice.about,) for key, advice in self.advices.items()}

    def prompts_of(self, visit: Visit) -> dict[str, Prompt]:
        """The app's prompts and the learner's own."""
        return {**self.prompts, **self.own.of(visit.profile.id)}

    def prompt(self, visit: Visit, prompt_id: str) -> Prompt:
        """A prompt by its id."""
        found = self.prompts_of(visit).get(prompt_id)
        if found is None:
            raise LearnerError(f"There is no prompt {prompt_id!r}.", do_next="Choose one from the list.")
        return found

    def attempt(self, visit: Visit, prompt: Prompt, attempt_id: int) -> ExplainAttempt:
        """An explanation of this profile."""
        for attempt in self.store.explains.attempts(visit.profile.id, prompt.id):
            if attempt.id == attempt_id:
                return attempt
        raise LearnerError("That explanation is not in this profile.", do_next="Reload the page.")

    # ---- what is shown

    def box(self, visit: Visit, prompt: Prompt, *, hint: bool = False) -> Piece:
        """The prompt with a box to write in, holding the draft; the grader gets ready meanwhile."""
        self.room.prepare()
        html = render(
            "quizzes/box.html",
            prompt=prompt,
            draft=self.store.notes.draft(visit.profile.id, draft_key(prompt.id)),
            draft_name=f"{visit.profile.id}:{prompt.id}",
            limit=ANSWER_LIMIT,
            hint=hint,
            graded=self.room.open,
        )
        said = f"Hint: {to_plain(prompt.hint)}" if hint else ""
        return Piece(html=Markup(html), say=said, focus="#answer")

    def look(self, visit: Visit, prompt: Prompt, attempt: ExplainAttempt, *, alone: bool = True) -> Piece:
        """Where an explanation stands: being read, read, or to be judged by the learner alone."""
        trouble = self._have_read(visit, prompt, attempt)
        if self.room.open and trouble is None and unread(prompt, attempt):
            return self._reading(prompt, attempt)
        if attempt.verdicts is None:
            return self._rubric(prompt, attempt, trouble)
        return self._result(visit, prompt, attempt, trouble, alone=alone)

    def _reading(self, prompt: Prompt, attempt: ExplainAttempt) -> Piece:
        html = render("quizzes/reading.html", prompt=prompt, attempt=attempt, step=self.room.step)
        return Piece(html=Markup(html), say="Reading your answer.", focus="#reading", key=str(attempt.id))

    def _rubric(self, prompt: Prompt, attempt: ExplainAttempt, trouble: Trouble | None) -> Piece:
        html = render(
            "quizzes/rubric.html", prompt=prompt, attempt=attempt, trouble=trouble, can_retry=self.room.open
        )
        return Piece(
            html=Markup(html),
            say="Saved. Now tick what your explanation says.",
            focus="#rubric",
            key=str(attempt.id),
        )

    def _result(
        self, visit: Visit, prompt: Prompt, attempt: ExplainAttempt, trouble: Trouble | None, *, alone: bool
    ) -> Piece:
        attempts = self.store.explains.attempts(visit.profile.id)
        before = next(
            (one for one in attempts if one.prompt_id == prompt.id and one.id < attempt.id and one.verdicts),
            None,
        )
        found = standings(prompt, attempt, before=before, advices=self.advices)
        count = covered(one.counted or "" for one in found)
        html = render(
            "quizzes/result.html",
            prompt=prompt,
            attempt=attempt,
            standings=found,
            pieces=evidence(attempt, found),
            contradicting=[one.number for one in found if one.verdict == "contradicted"],
            count=count,
            gained=gained(found) if before else None,
            trouble=trouble if self.room.open else None,
            graded=any(one.grader for one in found),
            silent=_silent(attempt, found),
            to_cards=self._to_cards(found),
            limits=limits_sentence(self.measured, own=prompt.own),
            agreement=agreement(attempts),
            labels_needed=LABELS_NEEDED,
            concepts=self.concepts,
            alone=alone,
        )
        return Piece(html=Markup(html), say=_spoken(found, count), focus="#result", key=str(attempt.id))

    def _to_cards(self, found: list[Standing]) -> bool:
        return any(one.advice and one.verdict in NEED_WORK for one in found)

    # ---- what a press does

    def press(self, visit: Visit, event: Mapping[str, Any], *, alone: bool = True) -> Piece | None:
        """One press on a piece of ours; None when nothing new is to be shown, or it is not ours."""
        act = event.get("act")
        if act == "draft":
            self.save_draft(visit, event)
            return None
        prompt = self.prompt(visit, events.text(event, "prompt"))
        if act == "hint":
            return self.box(visit, prompt, hint=True)
        if act == "again":
            return self.box(visit, prompt)
        if act == "submit":
            return self.look(visit, prompt, self.submit(visit, prompt, event), alone=alone)
        attempt = self.attempt(visit, prompt, events.whole(event, "attempt"))
        if act == "edit":
            return self.edit(visit, prompt, attempt)
        if act == "retry":
            self._have_read(visit, prompt, attempt, again=True)
        elif act == "judge":
            self.judge(visit, prompt, attempt, event)
        elif act != "poll" and not self.marks.press(visit, prompt, attempt, event):
            return None
        return self.look(visit, prompt, self.attempt(visit, prompt, attempt.id), alone=alone)

    def save_draft(self, visit: Visit, event: Mapping[str, Any]) -> None:
        """Keep what is typed so far."""
        prompt = self.prompt(visit, events.text(event, "prompt"))
        text = events.text(event, "value", limit=ANY_LENGTH)
        self.store.notes.save_draft(visit.profile.id, draft_key(prompt.id), text, at=visit.now)

    def submit(self, visit: Visit, prompt: Prompt, event: Mapping[str, Any]) -> ExplainAttempt:
        """Store an explanation."""
        text = "".join(events.fields(event, "answer", limit=ANY_LENGTH)[:1]).strip()
        if not text:
            raise LearnerError("The box is empty.", do_next="Write a sentence or two, in any words you like.")
        if len(text) > ANSWER_LIMIT:
            raise LearnerError(
                f"Your text has {len(text):,} characters; up to {ANSWER_LIMIT:,} are read.",
                do_next="Nothing was sent or cut. Shorten it to the sentences that explain the most.",
            )
        attempt_id = self.store.explains.submit(visit.profile.id, prompt.id, text, at=visit.now)
        return self.attempt(visit, prompt, attempt_id)

    def edit(self, visit: Visit, prompt: Prompt, attempt: ExplainAttempt) -> Piece:
        """The box again, with the text of an explanation to change; that one stays in the log."""
        self.store.notes.save_draft(visit.profile.id, draft_key(prompt.id), attempt.said, at=visit.now)
        return self.box(visit, prompt)

    def judge(self, visit: Visit, prompt: Prompt, attempt: ExplainAttempt, event: Mapping[str, Any]) -> None:
        """Store the learner's ticks, where there is no grader."""
        ticked = SelfGrader(ticked=frozenset(events.fields(event, "concept")))(prompt, attempt.text)
        rubrics = {concept.id: fingerprint(concept) for concept in prompt.concepts}
        said = [
            Opinion(concept_id=concept_id, verdict=verdict, rubric=rubrics[concept_id])
            for concept_id, verdict in ticked.items()
        ]
        self.store.explains.record(visit.profile.id, attempt.id, said, by="learner", at=visit.now)
        self._ask_for_cards(visit, prompt, said)

    def read_again(self, visit: Visit, prompt: Prompt) -> int:
        """Ask for what a changed concept touches to be read anew; how many explanations that are."""
        touched = [
            attempt
            for attempt in self.store.explains.attempts(visit.profile.id, prompt.id)
            if attempt.judgements and unread(prompt, attempt)
        ]
        for attempt in touched:
            self._have_read(visit, prompt, attempt)
        return len(touched) if self.room.open else 0

    def _have_read(
        self, visit: Visit, prompt: Prompt, attempt: ExplainAttempt, *, again: bool = False
    ) -> Trouble | None:
        """Ask for it to be read unless it is; why it can't be, if so."""
        if not unread(prompt, attempt):
            return None
        keep = partial(self._keep, visit, prompt, attempt.id)
        self.room.read(attempt.id, prompt, attempt.said, keep, again=again)
        return self.room.trouble(attempt.id)

    def _keep(self, visit: Visit, prompt: Prompt, attempt_id: int, grading: Grading) -> None:
        """In the grader's thread: the verdicts into the log, and after a first reading, cards."""
        attempt = self.attempt(visit, prompt, attempt_id)
        new = opinions(prompt, attempt, grading)
        first = not any(each.by == "grader" for each in attempt.judgements)
        self.store.explains.record(visit.profile.id, attempt_id, new, by="grader", at=visit.now)
        if first:
            self._ask_for_cards(visit, prompt, new)

    def _ask_for_cards(self, visit: Visit, prompt: Prompt, said: list[Opinion]) -> None:
        found = [
            self.advices[prompt.id, opinion.concept_id].about
            for opinion in said
            if opinion.verdict in NEED_WORK and (prompt.id, opinion.concept_id) in self.advices
        ]
        if found:
            self.ask_for_cards(visit, tuple(dict.fromkeys(found)), because=prompt.id)

    # ---- as a station of the five-minute review

    @property
    def acts(self) -> frozenset[str]:
        """The presses that its pieces send."""
        return frozenset({"draft", "hint", "submit", "judge", "edit", "retry", "poll"}) | self.marks.acts

    def seconds_each(self, visit: Visit) -> float:
        """What an explanation takes; a text is not timed."""
        return SECONDS_AN_EXPLANATION

    def chosen(self, visit: Visit) -> str:
        """The prompt explained least often; among equals, the one written first."""
        attempts = [attempt.prompt_id for attempt in self.store.explains.attempts(visit.profile.id)]
        return min(self.prompts_of(visit), key=attempts.count)

    def steps(self, visit: Visit, run: ReviewRun) -> Steps:
        """Done when an explanation of this run is judged."""
        attempt = self._in_run(visit, run)
        return Steps(done=int(attempt is not None and attempt.verdicts is not None), total=1)

    def show(self, visit: Visit, run: ReviewRun) -> Piece:
        """The box; or where the explanation stands, if the text is already there."""
        prompt = self.prompt(visit, run.prompt_id)
        attempt = self._in_run(visit, run)
        if attempt is None or self.store.notes.draft(visit.profile.id, draft_key(prompt.id)):
            return self.box(visit, prompt)
        return self.look(visit, prompt, attempt, alone=False)

    def act(self, event: dict[str, Any], visit: Visit, run: ReviewRun) -> Piece | None:
        """One press within a run."""
        return self.press(visit, {**event, "prompt": run.prompt_id}, alone=False)

    def summary(self, visit: Visit, run: ReviewRun) -> str:
        """How the explanation went."""
        attempt = self._in_run(visit, run)
        if attempt is None or attempt.verdicts is None:
            return "No explanation written."
        total = len(self.prompt(visit, run.prompt_id).concepts)
        return f"{covered(attempt.verdicts.values())} of {total} concepts explained."

    def _in_run(self, visit: Visit, run: ReviewRun) -> ExplainAttempt | None:
        attempts = self.store.explains.attempts(visit.profile.id, run.prompt_id)
        return next((attempt for attempt in attempts if _since(attempt, run.started_at)), None)


def no_cards(visit: Visit, concepts: tuple[str, ...], *, because: str) -> int:
    """Where there are no cards to ask for."""
    return 0


def explain_exercise(
    context: Context, *, ask_for_cards: AskForCards = no_cards, desk: Desk | None = None
) -> ExplainExercise:
    """The prompts of an app, read and checked, on its store; without a desk the learner judges."""
    prompts = load_prompts(context.concepts)
    return ExplainExercise(
        store=context.store,
        prompts=prompts,
        concepts=context.concepts,
        advices=load_advice(prompts, context.concepts),
        own=OwnPrompts(log=context.store.own_prompts),
        marks=Marks(log=context.store.explains),
        room=ReadingRoom(desk),
        measured=read_measured(),
        ask_for_cards=ask_for_cards,
    )


def _since(attempt: ExplainAttempt, moment: datetime) -> bool:
    return attempt.submitted_at >= moment


def _silent(attempt: ExplainAttempt, found: list[Standing]) -> bool:
    """Whether the grader found nothing and the text does not read as English."""
    read = [one.grader.verdict for one in found if one.grader]
    nothing = bool(read) and set(read) <= {"missing", "unsure"}
    return nothing and not reads_as_english(attempt.said)


def _spoken(found: list[Standing], count: int) -> str:
    parts = [f"{one.concept.label}: {SPOKEN[one.verdict]}" for one in found]
    return f"{count} of {len(found)} concepts. {'; '.join(parts)}."
