"""The answers that a network learns from, and those outside training that its limits are set on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quizzes.grader.labelled_answers import (
    OTHER_WRITER,
    OWN_TRAINING,
    LabelledAnswer,
    load_answers,
    load_own_prompts,
)
from quizzes.grader.prompts import CONCEPTS, Prompt, write_as_own
from quizzes.grader.worker.examples import is_held_out, is_prompt_held_out
from quizzes.grader.worker.network import count_known


@dataclass(frozen=True, kw_only=True)
class TrainingMaterial:
    """What a network learns from, and the answers outside training that its limits are set on."""

    prompts: Mapping[str, Prompt]
    learnt: Sequence[LabelledAnswer]
    new: Collection[str]
    """The prompts that the network has not learnt from yet."""

    limits_prompts: Mapping[str, Prompt]
    limits_answers: Sequence[LabelledAnswer]


def gather_known(
    prompts: Mapping[str, Prompt], *, part: int, only_new: bool, resume: Path | None
) -> TrainingMaterial:
    """Gather the answers to the app's prompts; those that the resumed network doesn't know are new.

    `part` is the tenth that is held out, -1 for none; `only_new` leaves out the answers to known prompts.
    """
    new = list(prompts)[count_known(resume) // CONCEPTS if resume else 0 :]
    return TrainingMaterial(
        prompts=prompts,
        learnt=[
            answer
            for answer in load_answers(new if only_new else prompts)
            if not is_held_out(answer, part=part)
        ],
        new=new,
        limits_prompts=prompts,
        limits_answers=load_answers(prompts, folder=OTHER_WRITER),
    )


def gather_own(app_prompts: Mapping[str, Prompt]) -> TrainingMaterial:
    """Gather the answers to prompts like a learner's own, and to the app's; an eighth of the first is apart.

    Limits are set on this eighth, and on other writers' answers to the app's prompts as a learner might have
    written them: most own prompts are about what this app teaches, and some aren't.
    """
    own = load_own_prompts(OWN_TRAINING)
    apart = {prompt_id: prompt for prompt_id, prompt in own.items() if is_prompt_held_out(prompt_id)}
    learnt = [prompt_id for prompt_id in own if prompt_id not in apart]
    return TrainingMaterial(
        prompts={**app_prompts, **own},
        learnt=[*load_answers(app_prompts), *load_answers(learnt, folder=OWN_TRAINING)],
        new=learnt,
        limits_prompts={**apart, **{prompt.id: write_as_own(prompt) for prompt in app_prompts.values()}},
        limits_answers=[
            *load_answers(apart, folder=OWN_TRAINING),
            *load_answers(app_prompts, folder=OTHER_WRITER),
        ],
    )
