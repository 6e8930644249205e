"""The explain exercise: text box, grading, people's judgements and a second attempt."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from markupsafe import escape

from quizzes.explain import views
from quizzes.explain.advice import Advices, load_advice
from quizzes.explain.concept_status import build_opinion, list_opinions, list_unread
from quizzes.explain.grading_queue import AnswerGrader, GradingQueue
from quizzes.explain.judgements import MARKING, Marks
from quizzes.explain.own_prompts import OwnPrompts
from quizzes.explain.views import NEED_WORK
from quizzes.grader.grading import Grading
from quizzes.grader.limits import MeasuredAccuracy, read_measured
from quizzes.grader.prompts import Prompt, PromptConcept, load_prompts
from quizzes.grader.verdicts import count_covered, judge_ticks
from study.base.errors import LearnerError
from study.content.concepts import ConceptMap
from study.ports.context import Context, Visit
from study.ports.review import AskForCards, Ending, Fragment, Missed, Steps
from study.store import Store
from study.store.logs.explains import ExplainAttempt, Opinion, draft_key
from study.store.logs.five_minute_reviews import FiveMinuteReview
from study.store.logs.own_prompts import OWN
from study.web import form_event

SECONDS_AN_EXPLANATION = 90.0
ANSWER_LIMIT = 5_500
"""The longest explanation in characters, about 900 words; with four replies it fits what the grader reads."""

SKIPPED = "skipped-explanation"
"""The key of the note that holds the id of the last review whose explanation was skipped."""


@dataclass(frozen=True, kw_only=True)
class ExplainExercise:
    """The explain exercise of the Explain page and of the five-minute review."""

    store: Store
    prompts: Mapping[str, Prompt]
    """The app's prompts, without the learner's own."""

    concepts: ConceptMap
    advices: Advices
    own: OwnPrompts
    marks: Marks
    room: GradingQueue
    measured: MeasuredAccuracy | None
    measured_own: MeasuredAccuracy | None
    """How the grader does on learners' own prompts."""

    ask_for_cards: AskForCards
    label: str = "explanation"

    @property
    def subjects(self) -> Mapping[str, tuple[str, ...]]:
        return {prompt.id: prompt.links for prompt in self.prompts.values()}

    def list_prompts(self, visit: Visit) -> dict[str, Prompt]:
        """Return the app's prompts and the learner's own, by id."""
        return {**self.prompts, **self.own.read_all(visit.profile.id)}

    def prompt(self, visit: Visit, prompt_id: str) -> Prompt:
        """Return a prompt by its id. Raises LearnerError when it is unknown."""
        found = self.list_prompts(visit).get(prompt_id)
        if found is None:
            gone = f"There is no prompt {prompt_id!r}."
            if prompt_id.startswith(OWN):
                gone = "This prompt was removed, or it belongs to another profile."
            raise LearnerError(gone, do_next="Choose one from the list.")
        return found

    def attempt(self, visit: Visit, prompt: Prompt, attempt_id: int) -> ExplainAttempt:
        """Return an attempt by its id. Raises LearnerError when it isn't in this profile."""
        for attempt in self.store.explains.attempts(visit.profile.id, prompt.id):
            if attempt.id == attempt_id:
                return attempt
        raise LearnerError("That explanation is not in this profile.", do_next="Reload the page.")

    def prepare(self) -> None:
        """Start to load the grader, so that it is ready when the first answer is submitted."""
        self.room.prepare()

    # ---- rendering

    def render_box(self, visit: Visit, prompt: Prompt, *, hint: bool = False, alone: bool = True) -> Fragment:
        """Render the prompt with a text box that holds the draft; the grader loads meanwhile.

        Not `alone` but within a review, it can be skipped.
        """
        self.prepare()
        newest = self._find_newest(visit, prompt)
        return views.render_box(
            prompt,
            after=newest.id if newest else 0,  # the attempt before the one that is written in the box
            draft=self.store.drafts.read(visit.profile.id, draft_key(prompt.id)),
            draft_name=f"{visit.profile.id}:{prompt.id}",
            limit=ANSWER_LIMIT,
            hint=hint,
            graded=self.room.open,
            can_skip=not alone,
        )

    def look(
        self,
        visit: Visit,
        prompt: Prompt,
        attempt: ExplainAttempt,
        *,
        alone: bool = True,
        waiting: bool = False,
        marking: bool = False,
    ) -> Fragment:
        """Render an attempt: being graded, graded, or judged by the learner alone.

        A learner who ticked the concepts instead of waiting sees that result, unless `waiting` for the grader
        again. While `marking`, the teacher's section stays open.
        """
        trouble = self._queue_grading(visit, prompt, attempt)
        ticked = attempt.verdicts is not None and not any(one.by == "grader" for one in attempt.judgements)
        on_its_way = self.room.open and trouble is None and list_unread(prompt, attempt)
        if on_its_way and (waiting or not ticked):
            return views.render_reading(prompt, attempt, step=self.room.step)
        if attempt.verdicts is None:
            return views.render_rubric(prompt, attempt, trouble, can_retry=self.room.open)
        return views.render_result(
            prompt,
            attempt,
            self.store.explains.attempts(visit.profile.id),
            advices=self.advices,
            measured=self.measured_own if prompt.own else self.measured,
            trouble=trouble if self.room.open else None,
            concepts=self.concepts,
            alone=alone,
            marking=marking,
        )

    # ---- form events

    def handle_event(self, visit: Visit, event: Mapping[str, Any], *, alone: bool = True) -> Fragment | None:
        """Handle one form event; return None when nothing new is shown or the event belongs elsewhere."""
        act = event.get("act")
        prompt = self.prompt(visit, form_event.read_text(event, "prompt"))
        if act == "draft":
            text = form_event.read_text(event, "value", limit=form_event.ANY_LENGTH)
            self.store.drafts.save(visit.profile.id, draft_key(prompt.id), text, at=visit.now)
            return None
        if act in ("hint", "again"):
            return self.render_box(visit, prompt, hint=act == "hint", alone=alone)
        if act == "submit":
            return self.look(visit, prompt, self.submit(visit, prompt, event), alone=alone)
        attempt = self.attempt(visit, prompt, form_event.read_whole(event, "attempt"))
        if act == "edit":  # the attempt itself stays in the log
            self.store.drafts.save(visit.profile.id, draft_key(prompt.id), attempt.said, at=visit.now)
            return self.render_box(visit, prompt, alone=alone)
        if act == "self":
            return views.render_rubric(prompt, attempt, None, can_retry=False)
        if act == "retry":
            self._queue_grading(visit, prompt, attempt, again=True)
        elif act == "judge":
            self.judge(visit, prompt, attempt, event)
        elif act != "poll" and not self.marks.handle_event(visit, prompt, attempt, event):
            return None
        attempt = self.attempt(visit, prompt, attempt.id)
        fragment = self.look(
            visit,
            prompt,
            attempt,
            alone=alone,
            waiting=act in ("retry", "poll"),
            marking=act in ("override", "take-back"),
        )
        return views.focus_concept(fragment, prompt, self.marks.read_concept(event))

    def submit(self, visit: Visit, prompt: Prompt, event: Mapping[str, Any]) -> ExplainAttempt:
        """Store an explanation. Raises LearnerError when it is empty or too long.

        What was stored from this form already is not stored again: the answer was lost on its way, or
        another window has sent the same draft.
        """
        text = "".join(form_event.read_fields(event, "answer", limit=form_event.ANY_LENGTH)[:1]).strip()
        if not text:
            raise LearnerError("The box is empty.", do_next="Write a sentence or two, in any words you like.")
        if len(text) > ANSWER_LIMIT:
            raise LearnerError(
                f"Your text has {len(text):,} characters; {ANSWER_LIMIT:,} are the limit.",
                do_next="Nothing was sent or cut. Shorten it to the sentences that explain the most.",
            )
        newest = self._find_newest(visit, prompt)
        if newest and newest.text == text and str(event.get("after", newest.id)) != str(newest.id):
            self.store.drafts.save(visit.profile.id, draft_key(prompt.id), "", at=visit.now)
            return newest
        attempt_id = self.store.explains.submit(visit.profile.id, prompt.id, text, at=visit.now)
        return self.attempt(visit, prompt, attempt_id)

    def _find_newest(self, visit: Visit, prompt: Prompt) -> ExplainAttempt | None:
        return next(iter(self.store.explains.attempts(visit.profile.id, prompt.id)), None)

    def judge(self, visit: Visit, prompt: Prompt, attempt: ExplainAttempt, event: Mapping[str, Any]) -> None:
        """Store the learner's ticks as verdicts when the grader is unavailable."""
        ticked = judge_ticks(prompt, set(form_event.read_fields(event, "concept")))
        said = [build_opinion(prompt, concept_id, verdict) for concept_id, verdict in ticked.items()]
        self.store.explains.record(visit.profile.id, attempt.id, said, by="learner", at=visit.now)
        self._ask_for_cards(visit, prompt, said)

    def read_again(self, visit: Visit, prompt: Prompt) -> int:
        """Queue the attempts that a changed concept affects for grading; return how many they are."""
        touched = [
            attempt
            for attempt in self.store.explains.attempts(visit.profile.id, prompt.id)
            if attempt.judgements and list_unread(prompt, attempt)
        ]
        for attempt in touched:
            self._queue_grading(visit, prompt, attempt)
        return len(touched) if self.room.open else 0

    def _queue_grading(
        self, visit: Visit, prompt: Prompt, attempt: ExplainAttempt, *, again: bool = False
    ) -> LearnerError | None:
        """Queue the attempt unless it is graded; return the failure if it can't be graded."""
        if not list_unread(prompt, attempt):
            return None
        keep = partial(self._keep, visit, prompt, attempt)
        self.room.read(attempt, prompt, keep, learner=visit.profile.id, again=again)
        return self.room.find_trouble(attempt.id)

    def _keep(self, visit: Visit, prompt: Prompt, read: ExplainAttempt, grading: Grading) -> None:
        """Append the verdicts to the log; after the first grading, request cards (in the grader's thread).

        What was added while the attempt was `read` is in no verdict yet, so it is queued next.
        """
        attempt = self.attempt(visit, prompt, read.id)
        new = list_opinions(prompt, replace(attempt, replies=read.replies), grading)
        first = not any(each.by == "grader" for each in attempt.judgements)
        self.store.explains.record(visit.profile.id, attempt.id, new, by="grader", at=visit.now)
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

    # ---- activity of the five-minute review

    @property
    def acts(self) -> frozenset[str]:
        """The names of the form events that its fragments send."""
        return MARKING | {"draft", "hint", "submit", "judge", "edit", "self", "retry", "poll", "skip"}

    def estimate_seconds_each(self, visit: Visit) -> float:
        """Estimate the seconds per explanation; texts are not timed."""
        return SECONDS_AN_EXPLANATION

    def choose_prompt(self, visit: Visit, concept: str = "") -> str:
        """Return the prompt explained least often, on a tie the first; empty if none is about the concept."""
        attempts = [attempt.prompt_id for attempt in self.store.explains.attempts(visit.profile.id)]
        about = [each for each, concepts in self.subjects.items() if concept in concepts]
        return min(about if concept else self.list_prompts(visit), key=attempts.count, default="")

    def count_steps(self, visit: Visit, review: FiveMinuteReview) -> Steps:
        """Count the steps: done when an explanation of this review has verdicts, none if skipped.

        There is none either once the learner has removed the prompt.
        """
        if self._find_review_prompt(visit, review) is None:
            return Steps(done=0, total=0)
        attempt = self._find_in_review(visit, review)
        done = attempt is not None and attempt.verdicts is not None
        skipped = self.store.drafts.read(visit.profile.id, SKIPPED) == review.id
        return Steps(done=int(done), total=int(done or not skipped))

    def show(self, visit: Visit, review: FiveMinuteReview) -> Fragment:
        """Render the text box, or the attempt if one is submitted already."""
        prompt = self.prompt(visit, review.prompt_id)
        attempt = self._find_in_review(visit, review)
        if attempt is None or self.store.drafts.read(visit.profile.id, draft_key(prompt.id)):
            return self.render_box(visit, prompt, alone=False)
        return self.look(visit, prompt, attempt, alone=False)

    def act(self, event: dict[str, Any], visit: Visit, review: FiveMinuteReview) -> Fragment | None:
        act = event.get("act")
        if act == "skip":
            self.store.drafts.save(visit.profile.id, SKIPPED, review.id, at=visit.now)
            return None
        if self._find_review_prompt(visit, review) is None:
            if act not in ("draft", "submit"):
                return None
            raise LearnerError(
                "The prompt was removed.", do_next="Copy your text if you want to keep it, then skip this."
            )
        return self.handle_event(visit, {**event, "prompt": review.prompt_id}, alone=False)

    def describe_ending(self, visit: Visit, review: FiveMinuteReview) -> Ending:
        prompt, attempt = self._find_review_prompt(visit, review), self._find_in_review(visit, review)
        if prompt is None:
            return Ending(summary="")
        if attempt is None or attempt.verdicts is None:
            return Ending(summary="No explanation written.")
        verdicts = attempt.verdicts
        wanting = [concept for concept in prompt.concepts if verdicts.get(concept.id) in NEED_WORK]
        return Ending(
            summary=f"{count_covered(verdicts.values())} of {len(prompt.concepts)} concepts explained.",
            missed=tuple(self._build_missed(prompt, concept, verdicts[concept.id]) for concept in wanting),
        )

    def _build_missed(self, prompt: Prompt, concept: PromptConcept, verdict: str) -> Missed:
        """Build the miss of a concept that was not explained; `_ask_for_cards` has made its cards due."""
        advice = self.advices.get((prompt.id, concept.id))
        said = "explained wrongly" if verdict == "contradicted" else "not explained"
        return Missed(
            name=escape(concept.label),
            returns=f"{said}; cards about it are ready now" if advice else said,
            concepts=(advice.about,) if advice else (),
        )

    def _find_review_prompt(self, visit: Visit, review: FiveMinuteReview) -> Prompt | None:
        return self.list_prompts(visit).get(review.prompt_id)

    def _find_in_review(self, visit: Visit, review: FiveMinuteReview) -> ExplainAttempt | None:
        attempts = self.store.explains.attempts(visit.profile.id, review.prompt_id)
        return next((attempt for attempt in attempts if attempt.submitted_at >= review.started_at), None)


def explain_exercise(
    context: Context, *, ask_for_cards: AskForCards, grader: AnswerGrader | None = None
) -> ExplainExercise:
    """Build the exercise from the app's prompts and store; without a grader the learner judges."""
    prompts = load_prompts(context.concepts)
    return ExplainExercise(
        store=context.store,
        prompts=prompts,
        concepts=context.concepts,
        advices=load_advice(prompts, context.concepts),
        own=OwnPrompts(log=context.store.own_prompts),
        marks=Marks(log=context.store.explains),
        room=GradingQueue(grader),
        measured=read_measured(),
        measured_own=read_measured(own=True),
        ask_for_cards=ask_for_cards,
    )
