"""The timed challenge of one concept, as the concept's page links to it."""

from random import Random

from quizzes.session.modes import RULES
from quizzes.session.operations import QuizOperations, draw_seed
from quizzes.session.quiz_options import QuizChoice, build_address
from quizzes.session.session import Position
from study.ports.context import Visit
from study.ports.learn import ChallengeLink

CHALLENGE_RULES = RULES["challenge"]


def build_challenge_link(
    operations: QuizOperations, rng: Random, visit: Visit, concept_id: str
) -> ChallengeLink:
    """Return the link to a new challenge of a concept, and the result of the learner's best one."""
    length, seed = CHALLENGE_RULES.length, draw_seed(rng)
    fresh = QuizChoice(mode="challenge", concept=concept_id, length=length, seed=seed)
    ended = _list_ended(operations, visit, concept_id)
    best = max(ended, key=lambda each: each.right / each.total if each.total else 0.0, default=None)
    return ChallengeLink(
        address=build_address(fresh),
        problems=len(operations.choose_questions(visit.profile.id, fresh, now=visit.now)),
        rules=f"{CHALLENGE_RULES.seconds_each // 60} minutes each, {CHALLENGE_RULES.attempts} attempts, "
        "a hint; a badge if all come out right.",
        best=f"{best.right} of {best.total} right" if best else "",
        done=bool(ended),
        badge=best is not None and 0 < best.total == best.right,
    )


def _list_ended(operations: QuizOperations, visit: Visit, concept_id: str) -> list[Position]:
    """List the challenges of this concept that were finished or timed out, with at least one answer."""
    records = operations.store.quizzes.in_mode(visit.profile.id, "challenge")
    about = [record for record in records if record.choice.get("concept") == concept_id]
    where = (operations.compute_position(record, now=visit.now) for record in about)
    return [position for position in where if position.question is None and position.answered]
