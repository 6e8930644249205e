"""The reader of learners' own prompts: what it learns from, and how near a text is to a concept."""

from random import Random

import pytest
import torch

from quizzes.grader.labelled_answers import (
    OWN_BLIND,
    OWN_TRAINING,
    LabelledAnswer,
    load_answers,
    load_own_prompts,
)
from quizzes.grader.prompts import Prompt, load_prompts
from quizzes.grader.worker.encoder import Encoder, EncoderShape, WordPieces
from quizzes.grader.worker.examples import (
    is_prompt_held_out,
)
from quizzes.grader.worker.own_rows import OwnRowBuilder, phrase_concept
from quizzes.grader.worker.similarity import COSINES, FIGURES, Similarity
from study.content.concepts import load_concepts

PROMPTS = load_prompts(load_concepts())
OWN = load_own_prompts(OWN_TRAINING)


@pytest.fixture(scope="module")
def own_answers() -> list[LabelledAnswer]:
    return load_answers(OWN, folder=OWN_TRAINING)


def test_the_reader_of_own_prompts_sees_a_concept_in_many_wordings_and_without_a_number(
    own_answers: list[LabelledAnswer],
) -> None:
    rng, concept = Random(3), PROMPTS["explain-nf4"].concepts[0]
    wordings = {phrase_concept(concept, rng) for _ in range(60)}
    assert {concept.label, concept.definition, f"{concept.label}: {concept.definition[:1].lower()}"} <= {
        *wordings,
        *(wording[: len(concept.label) + 3] for wording in wordings),
    }
    line = next(c for prompt in OWN.values() for c in prompt.concepts if ":" in c.definition)
    assert {line.definition, line.label} <= {phrase_concept(line, rng) for _ in range(60)}
    rows = OwnRowBuilder(OWN, own_answers, Random(5)).build_batch(own_answers[:50])
    assert not any(number for row, _ in rows for number in row.numbers)


def test_in_place_of_a_concept_a_twin_is_covered_or_contradicted_as_it_says_the_same_or_not(
    own_answers: list[LabelledAnswer],
) -> None:
    builder = OwnRowBuilder(OWN, own_answers, Random(6))
    label_of = {(one.prompt_id, one.text): one for one in own_answers}
    checked = {"same": 0, "opposite": 0, "false, of a right answer": 0}
    for one in own_answers:
        [(row, said)] = builder.build_batch([one])
        for text, verdict in zip(row.concepts, said, strict=True):
            shown = label_of.get((one.prompt_id, text))
            about = [at for at, v in enumerate(shown.verdicts) if v != "missing"] if shown else []
            if not shown or len(about) != 1:
                continue
            stated, own = shown.verdicts[about[0]], one.verdicts[about[0]]
            if own == "missing":
                assert verdict == "missing"
            elif shown.group == one.group and own in ("covered", "contradicted"):
                checked["same" if stated == own else "opposite"] += 1
                assert verdict == ("covered" if stated == own else "contradicted")
            elif stated == "contradicted" and own == "covered":
                checked["false, of a right answer"] += 1
                assert verdict == "contradicted"
    assert min(checked.values()) >= 20


def test_an_eighth_of_the_own_prompts_is_held_out_whole_and_no_tested_prompt_is_learnt_from() -> None:
    held = [prompt_id for prompt_id in OWN if is_prompt_held_out(prompt_id)]
    assert 8 <= len(held) <= len(OWN) / 5
    learnt = {line for prompt in OWN.values() for line in lines_of(prompt)}
    for folder in OWN_BLIND:
        assert not learnt & {
            line for prompt in load_own_prompts(folder).values() for line in lines_of(prompt)
        }


def lines_of(prompt: Prompt) -> set[str]:
    return {concept.definition for concept in prompt.concepts}


# ---- how near a text is to a concept


class Letters(WordPieces):
    """A tokenizer with one token per word, numbered by the word's first letter, between 1 and 2."""

    def __init__(self) -> None:
        self.begin, self.end, self.padding = 1, 2, 0

    def encode(self, text: str) -> list[int]:
        """Return a number per word."""
        return [ord(word[0]) - 60 for word in text.split()]


def test_a_text_is_nearest_to_the_concept_it_says_wherever_it_says_it() -> None:
    torch.manual_seed(2)
    shape = EncoderShape(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=80
    )
    encoder = Encoder(shape).eval()
    for parameter in encoder.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.02)
    similarity = Similarity(encoder, Letters())
    concepts = ["a b c d", "e f g h", "i j k l", "not o p q"]
    padding = " ".join("rstuvwxyz" * 3)
    [short, long] = similarity.measure([concepts] * 2, ["e f g h", f"{padding} e f g h {padding}"])
    assert short.shape == (4, FIGURES)
    for figures in (short, long):
        assert int(figures[:, 2].argmax()) == 1  # the concept's words, each found in the text
        assert figures[1, COSINES + 2] > 0 > figures[0, COSINES + 2]  # beside the best of the others
    assert short[:, -1].tolist() == [0, 0, 0, 1]  # only the fourth is negated where the text is not
