"""Training of the grader: LoRA on all linear layers of MiniLM, from labelled answers, in one command.

    python -m quizzes.grader.worker.train [--seed 0] [--out FOLDER] [--threads 2]

Each seed trains one network; the grader averages all networks in the folder.

Writes the adapter, its thresholds and its training record. A tenth of the answer groups is held out for
evaluation. Temperature and thresholds are fitted on answers of another writer (fit_limits.py); thresholds
fitted on half of the prompts are measured on the other half.
"""

import argparse
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.utils import logging

from quizzes.grader.grading import concept_text
from quizzes.grader.labelled_answers import OTHER_WRITER, LabelledAnswer, load_answers
from quizzes.grader.limits import write_measured
from quizzes.grader.metrics import compute_report
from quizzes.grader.minilm import fetch_minilm
from quizzes.grader.prompts import CONCEPTS, Prompt, load_prompts
from quizzes.grader.verdicts import Verdict
from quizzes.grader.weights import TENSORS, WEIGHTS, Weights, write_made_of, write_weights
from quizzes.grader.worker.adapters import ALPHA_OVER_RANK, AdaptedEncoder
from quizzes.grader.worker.examples import STRENGTH, draw_groups, held_out, mistype, split_epoch
from quizzes.grader.worker.fit_limits import calibrate
from quizzes.grader.worker.network import (
    AnswerReader,
    NetworkRow,
    build_network,
    collate,
    resume_tensors,
    save_tensors,
)
from quizzes.grader.worker.reader import load_reader
from study.base.model_files import Progress
from study.base.settings import load_settings
from study.content.concepts import load_concepts

WARM_UP_SHARE = 0.08
CLIP = 1.0
MARGIN = 2.0
COUNTS = {
    "subject-swap": 3.0,
    "comparative-flip": 2.0,
    "jargon-paraphrase": 3.0,
    "terse": 2.0,
    "rambling": 2.0,
    "keyword-stuffing": 3.0,
    "empty-talk": 3.0,
    "correct-with-negation": 1.5,
    "rejects-false": 1.5,
}
"""How many times an answer of a class counts: those that are rare or often misread count more."""

Reading = Literal["own parts", "labels", "definitions", "statements"]
"""How a batch sees its concepts: with embeddings and heads of their own, or by words alone. A statement is an
answer that covers the concept and nothing else: thousands of definitions, for prompts that nobody has seen.
"""

WORDS_ALONE: tuple[Reading, ...] = ("labels", "labels", "definitions", "statements", "statements")
STATEMENT_WORDS = 16
STATEMENT_KINDS = frozenset({"good-partial", "correct-with-negation", "terse", "jargon-paraphrase"})
STRANGERS = 0.15
"""Share of statements that are taken from a prompt about something else; an answer says nothing of them."""

ONE_FAMILY = frozenset(
    {
        "explain-nf4",
        "explain-double-quantization",
        "explain-paged-optimizers",
        "explain-alpha-scaling",
        "explain-rank",
        "explain-target-modules",
    }
)
"""Prompts whose concepts none of the other prompts shares."""

COVERED, CONTRADICTED = STRENGTH.index("covered"), STRENGTH.index("contradicted")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The hyperparameters of a training; equal recipes on one machine give equal weights."""

    seed: int = 0
    epochs: int = 4
    rows: int = 32
    rank: int = 24
    learning_rate: float = 1e-3
    heads_learning_rate: float = 2e-3
    contrast: float = 0.3
    """Weight of the contrast loss, which ranks a right statement above its false minimal pair."""

    known: float = 0.65
    """Share of batches that use the concepts' own embeddings and heads. The others have the words alone, in
    random order, as a learner's own prompts have."""

    drawn: float = 1.0
    """Share of the earlier writers' groups that an epoch reads; the newest writer's are all read."""

    first_layer: int = 0
    """The layers below this one stay as they are, and so do the concepts' embeddings unless it is 0."""

    resumed: str = ""
    """The adapter that this training went on from; empty for MiniLM itself."""

    part: int = 0
    """The tenth of the groups that is held out; -1 for none."""


def main() -> int:
    """Train, calibrate and write the weights; return exit status 0."""
    options = _read_options()
    torch.set_num_threads(options.threads)
    logging.set_verbosity_error()
    recipe = Recipe(
        seed=options.seed,
        epochs=options.epochs,
        rank=options.rank,
        contrast=options.contrast,
        learning_rate=options.learning_rate,
        heads_learning_rate=2 * options.learning_rate,
        drawn=options.drawn,
        first_layer=options.first_layer,
        resumed=options.resume.name if options.resume else "",
        part=options.part,
    )
    prompts = load_prompts(load_concepts())
    answers = load_answers(prompts)
    base = fetch_minilm(options.models_dir, _print_progress)
    learnt = [answer for answer in answers if not held_out(answer, part=recipe.part)]
    print(f"{len(learnt)} of {len(answers)} answers to learn from", flush=True)  # noqa: T201
    if not options.limits_only:
        network = train_network(recipe, base, prompts, learnt, options.resume)
        options.out.mkdir(parents=True, exist_ok=True)
        save_tensors(network, options.out / TENSORS.format(seed=recipe.seed))
        made_of = {"recipe": asdict(recipe), "answers": len(learnt), "versions": list_versions()}
        write_made_of(options.out, seed=recipe.seed, **made_of)
    concepts = {
        concept_text(concept): concept.label for prompt in prompts.values() for concept in prompt.concepts
    }
    weights = Weights(concepts=concepts, alpha_over_rank=ALPHA_OVER_RANK)
    write_weights(weights, options.out)
    other = load_answers(prompts, folder=OTHER_WRITER)
    weights, judged = calibrate(load_reader(base, options.out), weights, prompts, other)
    write_weights(weights, options.out)
    write_measured(judged, options.out)
    for name, figure in vars(compute_report(judged)).items():
        print(f"{name:20}{figure}")  # noqa: T201 - a command line prints
    return 0


def list_versions() -> dict[str, str]:
    """Return the versions of the libraries that compute the weights."""
    return {name: version(name) for name in ("torch", "transformers")}


def train_network(
    recipe: Recipe,
    base: Path,
    prompts: Mapping[str, Prompt],
    answers: Sequence[LabelledAnswer],
    resume: Path | None = None,
) -> AnswerReader:
    """Train a network, from MiniLM or from the stored tensors `resume`: all epochs in one loop."""
    torch.manual_seed(recipe.seed)
    dice = Random(recipe.seed)
    network, tokenizer = build_network(base, known_concepts=len(prompts) * CONCEPTS, training=True)
    network.encoder = AdaptedEncoder(network.encoder, rank=recipe.rank)
    if resume is not None:
        resume_tensors(network, resume)
    freeze_below(network, recipe.first_layer)
    encoder, heads = _list_trainable(network)
    groups = [
        {"params": encoder, "lr": recipe.learning_rate},
        {"params": heads, "lr": recipe.heads_learning_rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
    batches = [
        split_epoch(draw_groups(answers, dice, share=recipe.drawn), dice, rows=recipe.rows)
        for _ in range(recipe.epochs)
    ]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warm_then_down(sum(map(len, batches))))
    examples = RowBuilder(prompts, answers, dice)
    begun = time.monotonic()
    for number, part in enumerate(batches, start=1):
        losses = []
        for batch in part:
            reading = draw_reading(recipe, dice)
            drawn = examples.build_batch(batch, reading)
            rows = collate(tokenizer, [row for row, _ in drawn])
            labels = torch.tensor([[STRENGTH.index(verdict) for verdict in said] for _, said in drawn])
            logits = network(rows)  # (rows, concepts, verdicts)
            weights = torch.tensor([COUNTS.get(one.kind, 1.0) for one in batch]).repeat_interleave(CONCEPTS)
            surprise = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
            loss = (surprise * weights).sum() / weights.sum()
            losses.append(surprise.mean().item())
            loss = loss + recipe.contrast * contrast_loss(logits, labels, batch)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([*encoder, *heads], CLIP)
            optimizer.step()
            schedule.step()
        mean, seconds = sum(losses) / len(losses), time.monotonic() - begun
        print(f"epoch {number} of {recipe.epochs}: loss {mean:.3f}, {seconds:.0f} s", flush=True)  # noqa: T201
    return network


def freeze_below(network: AnswerReader, first_layer: int) -> None:
    """Freeze the embeddings and the layers below `first_layer`; two layers are about a fifth of a step."""
    if not first_layer:
        return
    network.own.requires_grad_(False)
    for name, parameter in network.encoder.named_parameters():
        layer = re.search(r"layer/(\d+)/", name)
        if layer is None or int(layer[1]) < first_layer:
            parameter.requires_grad_(False)


def _list_trainable(network: AnswerReader) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the trainable parameters of the encoder, and those of the heads."""
    found: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            found[not name.startswith("encoder.")].append(parameter)
    return found


def contrast_loss(logits: Tensor, labels: Tensor, batch: Sequence[LabelledAnswer]) -> Tensor:
    """Return the mean of softplus(MARGIN - gap) over minimal pairs; gap = right minus false rightness."""
    rightness = logits[..., COVERED] - logits[..., CONTRADICTED]  # (rows, concepts)
    groups = torch.tensor([_find_place(answer, batch) for answer in batch])
    same = groups.unsqueeze(0) == groups.unsqueeze(1)  # (rows, rows)
    right, false = labels == COVERED, labels == CONTRADICTED
    pairs = same.unsqueeze(-1) & right.unsqueeze(1) & false.unsqueeze(0)  # (right row, false row, concepts)
    if not pairs.any():
        return logits.new_zeros(())
    above = rightness.unsqueeze(1) - rightness.unsqueeze(0)
    return functional.softplus(MARGIN - above[pairs]).mean()


def _find_place(answer: LabelledAnswer, batch: Sequence[LabelledAnswer]) -> int:
    return next(at for at, other in enumerate(batch) if other.group == answer.group)


def draw_reading(recipe: Recipe, dice: Random) -> Reading:
    """Draw how a batch reads its concepts."""
    return "own parts" if dice.random() < recipe.known else dice.choice(WORDS_ALONE)


Row = tuple[NetworkRow, tuple[Verdict, ...]]
"""A row and the verdicts on its concepts, in the row's order."""


class RowBuilder:
    """Builds rows from answers: texts sometimes with typos, concepts in one of four readings."""

    def __init__(
        self, prompts: Mapping[str, Prompt], answers: Sequence[LabelledAnswer], dice: Random
    ) -> None:
        self._prompts = prompts
        self._dice = dice
        self._first = {prompt_id: at * CONCEPTS + 1 for at, prompt_id in enumerate(prompts)}
        self._statements = list_statements(answers)

    def build_batch(self, batch: Sequence[LabelledAnswer], reading: Reading) -> list[Row]:
        """Build the rows of a batch. Concepts without own parts stand in an order drawn for the batch."""
        order = list(range(CONCEPTS))
        if reading != "own parts":
            self._dice.shuffle(order)
        return [self._build_row(answer, reading, order) for answer in batch]

    def _build_row(self, answer: LabelledAnswer, reading: Reading, order: Sequence[int]) -> Row:
        first = self._first[answer.prompt_id] if reading == "own parts" else None
        read = [self._read_concept(answer, at, reading) for at in order]
        row = NetworkRow(
            concepts=tuple(text for text, _ in read),
            numbers=tuple(0 if first is None else first + at for at in order),
            text=mistype(answer.text, self._dice),
        )
        return row, tuple(verdict for _, verdict in read)

    def _read_concept(self, answer: LabelledAnswer, at: int, reading: Reading) -> tuple[str, Verdict]:
        concept, verdict = self._prompts[answer.prompt_id].concepts[at], answer.verdicts[at]
        if reading == "definitions":
            return concept_text(concept), verdict
        if reading == "statements" and self._dice.random() < STRANGERS:
            return self._draw_stranger(answer.prompt_id), "missing"
        said = self._statements.get((answer.prompt_id, at), ())
        return (self._dice.choice(said) if reading == "statements" and said else concept.label), verdict

    def _draw_stranger(self, prompt_id: str) -> str:
        others = sorted(
            key for key in self._statements if (key[0] in ONE_FAMILY) != (prompt_id in ONE_FAMILY)
        )
        return self._dice.choice(self._statements[self._dice.choice(others)])


def list_statements(answers: Sequence[LabelledAnswer]) -> dict[tuple[str, int], list[str]]:
    """List, by prompt and number of the concept, short answers that cover one concept and nothing else."""
    found: dict[tuple[str, int], list[str]] = {}
    for answer in answers:
        covered = [at for at, verdict in enumerate(answer.verdicts) if verdict == "covered"]
        alone = len(covered) == 1 and answer.verdicts.count("missing") == CONCEPTS - 1
        if alone and answer.kind in STATEMENT_KINDS and len(answer.text.split()) <= STATEMENT_WORDS:
            found.setdefault((answer.prompt_id, covered[0]), []).append(answer.text)
    return found


def _warm_then_down(total: int) -> Callable[[int], float]:
    warm = max(1, round(WARM_UP_SHARE * total))

    def share(step: int) -> float:
        return min(1.0, (step + 1) / warm) * max(0.02, 1 - step / total)

    return share


def _read_options() -> argparse.Namespace:
    standard = Recipe()
    parser = argparse.ArgumentParser(prog="python -m quizzes.grader.worker.train")
    parser.add_argument("--models-dir", type=Path, default=load_settings().models_dir)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=standard.seed)
    parser.add_argument("--epochs", type=int, default=standard.epochs)
    parser.add_argument("--rank", type=int, default=standard.rank)
    parser.add_argument("--contrast", type=float, default=standard.contrast)
    parser.add_argument("--learning-rate", type=float, default=standard.learning_rate)
    parser.add_argument("--drawn", type=float, default=standard.drawn)
    parser.add_argument("--first-layer", type=int, default=standard.first_layer)
    parser.add_argument("--resume", type=Path, help="train these tensors further")
    parser.add_argument("--limits-only", action="store_true", help="keep the weights, set their limits anew")
    parser.add_argument("--part", type=int, default=standard.part, help="tenth of the groups to hold out")
    return parser.parse_args()


def _print_progress(progress: Progress) -> None:
    print(progress.step, file=sys.stderr)  # noqa: T201 - a command line prints


if __name__ == "__main__":
    sys.exit(main())
