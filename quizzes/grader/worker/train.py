"""Training of the grader: LoRA on all linear layers of MiniLM, from labelled answers, in one command.

    python -m quizzes.grader.worker.train [--own] [--seed 0] [--out FOLDER] [--threads 2]

Without --own it trains a network that knows the concepts of the app's prompts; each seed trains one, and the
grader averages all of them. With --own it trains the one for learners' own prompts, which knows no concept.

Writes the adapter, its thresholds and its training record. Of the app's prompts a tenth of the answer groups
is held out, and an eighth of the prompts like a learner's own. Temperature and thresholds are fitted on
answers outside training (fit_limits.py); those fitted on half of the prompts are measured on the other half.
"""

import argparse
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn
from torch.nn import functional

from quizzes.grader.grading import format_concept
from quizzes.grader.labelled_answers import LabelledAnswer
from quizzes.grader.limits import write_measured
from quizzes.grader.metrics import compute_report
from quizzes.grader.minilm import fetch_minilm
from quizzes.grader.prompts import CONCEPTS, Prompt, load_prompts
from quizzes.grader.weights import (
    OWN_TENSORS,
    SETTINGS,
    TENSORS,
    WEIGHTS,
    Weights,
    read_weights,
    write_json,
    write_weights,
)
from quizzes.grader.worker.adapters import ALPHA_OVER_RANK, AdaptedEncoder
from quizzes.grader.worker.encoder import WordPieces, load_encoder
from quizzes.grader.worker.examples import STRENGTH, Row, draw_groups, mistype, split_epoch
from quizzes.grader.worker.fit_limits import calibrate
from quizzes.grader.worker.material import TrainingMaterial, gather_known, gather_own
from quizzes.grader.worker.network import (
    AnswerReader,
    NetworkRow,
    average_with,
    build_network,
    collate,
    resume_tensors,
    save_tensors,
)
from quizzes.grader.worker.own_rows import OwnRowBuilder
from quizzes.grader.worker.reader import load_reader
from quizzes.grader.worker.similarity import FIGURES, Similarity
from study.base.command_line import build_module_parser
from study.base.model_files import Progress
from study.base.settings import load_settings
from study.content.concepts import load_concepts

OWN_MISSING = 0.6
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

MISSING, COVERED, CONTRADICTED = map(STRENGTH.index, ("missing", "covered", "contradicted"))


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

    missing: float = 1.0
    """How much a missing concept counts: most concepts are missing from an answer."""

    drawn: float = 1.0
    """Share of the answer groups that an epoch reads; of prompts new to the network all are read."""

    first_layer: int = 0
    """The layers below this one stay as they are, and so do the concepts' embeddings unless it is 0."""

    only_new: bool = False
    """Only the embeddings and heads of new concepts learn: what is said of known ones stays as it was."""

    resumed: str = ""
    """The adapter that this training went on from; empty for MiniLM itself."""

    part: int = 0
    """The tenth of the groups that is held out; -1 for none."""

    averaged: bool = False
    """Whether the tensors are the mean of those that training ended with and those it went on from."""


def main() -> int:
    """Train, calibrate and write the weights; return exit status 0."""
    options = _read_options()
    torch.set_num_threads(options.threads)
    recipe = Recipe(
        seed=options.seed,
        epochs=options.epochs,
        rows=options.rows,
        rank=options.rank,
        contrast=options.contrast,
        learning_rate=options.learning_rate,
        heads_learning_rate=2 * options.learning_rate,
        missing=OWN_MISSING if options.own else 1.0,
        drawn=options.drawn,
        first_layer=options.first_layer,
        only_new=options.only_new,
        resumed=options.resume.name if options.resume else "",
        part=options.part,
        averaged=options.average,
    )
    app_prompts = load_prompts(load_concepts())
    material = (
        gather_own(app_prompts)
        if options.own
        else gather_known(app_prompts, part=recipe.part, only_new=recipe.only_new, resume=options.resume)
    )
    base = fetch_minilm(options.models_dir, _print_progress)
    print(f"{len(material.learnt)} answers to learn from", flush=True)  # noqa: T201
    if not options.limits_only:
        options.out.mkdir(parents=True, exist_ok=True)
        tensors = options.out / (OWN_TENSORS if options.own else TENSORS.format(seed=recipe.seed))
        save_tensors(train_network(recipe, base, material, options.resume, own=options.own), tensors)
        if recipe.averaged:
            average_with(tensors, options.resume)
        versions = {name: version(name) for name in ("torch", "tokenizers")}  # they compute the weights
        made_of = {"recipe": asdict(recipe), "answers": len(material.learnt), "versions": versions}
        write_json(tensors.with_suffix(".json"), made_of)
    weights = _read_or_build(options.out, app_prompts, own=options.own)
    write_weights(weights, options.out)
    reader = load_reader(base, options.out)
    weights, judged = calibrate(
        reader,
        weights,
        material.limits_prompts,
        material.limits_answers,
        own=options.own,
        keep_temperature=options.keep_temperature,
    )
    write_weights(weights, options.out)
    if options.own:  # what the page says of own prompts is said of any subject
        judged = [one for one in judged if one.answer.prompt_id not in app_prompts]
    write_measured(judged, options.out, own=options.own)
    for name, figure in vars(compute_report(judged)).items():
        print(f"{name:20}{figure}")  # noqa: T201 - a command line prints
    return 0


def _read_or_build(folder: Path, prompts: Mapping[str, Prompt], *, own: bool) -> Weights:
    """Return the settings in the folder, for the other network's sake; the known concepts are set again."""
    concepts = {
        format_concept(concept): concept.label for prompt in prompts.values() for concept in prompt.concepts
    }
    if not (folder / SETTINGS).exists():
        return Weights(concepts=concepts, alpha_over_rank=ALPHA_OVER_RANK)
    stored = read_weights(folder)
    return stored if own else replace(stored, concepts=concepts)


def train_network(
    recipe: Recipe, base: Path, material: TrainingMaterial, resume: Path | None = None, *, own: bool
) -> AnswerReader:
    """Train a network, from MiniLM or from the stored tensors `resume`: all epochs in one loop."""
    torch.manual_seed(recipe.seed)
    rng = Random(recipe.seed)
    tokenizer = WordPieces(base)
    network = build_network(
        base,
        known_concepts=0 if own else len(material.prompts) * CONCEPTS,
        figures=FIGURES if own else 0,
        training=True,
    )
    similarity = Similarity(load_encoder(base, fused=False).bfloat16().eval(), tokenizer) if own else None
    network.encoder = AdaptedEncoder(network.encoder, rank=recipe.rank)
    if resume is not None:
        resume_tensors(network, resume)
    if recipe.only_new:
        freeze_shared(network)
    freeze_below(network, recipe.first_layer)
    encoder, heads = _list_trainable(network)
    groups = [
        {"params": parameters, "lr": rate}
        for parameters, rate in ((encoder, recipe.learning_rate), (heads, recipe.heads_learning_rate))
        if parameters
    ]
    # Concepts that a batch doesn't name get no gradient; weight decay would change them nevertheless.
    decay = 0.0 if recipe.only_new else 0.01
    optimizer = torch.optim.AdamW(groups, weight_decay=decay, fused=True)
    batches = [
        split_epoch(
            draw_groups(material.learnt, rng, share=recipe.drawn, new=material.new), rng, rows=recipe.rows
        )
        for _ in range(recipe.epochs)
    ]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warm_then_down(sum(map(len, batches))))
    examples: OwnRowBuilder | RowBuilder = (
        OwnRowBuilder(material.prompts, material.learnt, rng) if own else RowBuilder(material.prompts, rng)
    )
    begun = time.monotonic()
    for number, part in enumerate(batches, start=1):
        losses = []
        for batch in part:
            drawn = examples.build_batch(batch)
            rows = collate(tokenizer, [row for row, _ in drawn], similarity)
            labels = torch.tensor([[STRENGTH.index(verdict) for verdict in said] for _, said in drawn])
            logits = network(rows)  # (rows, concepts, verdicts)
            weights = torch.tensor([COUNTS.get(one.kind, 1.0) for one in batch]).repeat_interleave(CONCEPTS)
            weights = weights * torch.where(labels.flatten() == MISSING, recipe.missing, 1.0)
            surprise = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
            loss = (surprise * weights).sum() / weights.sum()
            losses.append(surprise.mean().item())
            if not own:  # rows of own prompts differ in their concepts
                loss = loss + recipe.contrast * compute_contrast_loss(logits, labels, batch)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([*encoder, *heads], CLIP)
            optimizer.step()
            schedule.step()
        mean, seconds = sum(losses) / len(losses), time.monotonic() - begun
        print(f"epoch {number} of {recipe.epochs}: loss {mean:.3f}, {seconds:.0f} s", flush=True)  # noqa: T201
    return network


def freeze_shared(network: AnswerReader) -> None:
    """Freeze all that several concepts share; the concepts' own embeddings and heads go on learning."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in ("own.weight", "own_heads.weight"))


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


def compute_contrast_loss(logits: Tensor, labels: Tensor, batch: Sequence[LabelledAnswer]) -> Tensor:
    """Return the mean of softplus(MARGIN - gap) over minimal pairs; gap = right minus false rightness."""
    rightness = logits[..., COVERED] - logits[..., CONTRADICTED]  # (rows, concepts)
    names = [answer.group for answer in batch]
    groups = torch.tensor([names.index(name) for name in names])
    same = groups.unsqueeze(0) == groups.unsqueeze(1)  # (rows, rows)
    right, false = labels == COVERED, labels == CONTRADICTED
    pairs = same.unsqueeze(-1) & right.unsqueeze(1) & false.unsqueeze(0)  # (right row, false row, concepts)
    if not pairs.any():
        return logits.new_zeros(())
    above = rightness.unsqueeze(1) - rightness.unsqueeze(0)
    return functional.softplus(MARGIN - above[pairs]).mean()


class RowBuilder:
    """Builds rows for a network that knows the concepts: labels in the prompt's order, with their numbers."""

    def __init__(self, prompts: Mapping[str, Prompt], rng: Random) -> None:
        self._prompts = prompts
        self._rng = rng
        self._first = {prompt_id: at * CONCEPTS + 1 for at, prompt_id in enumerate(prompts)}

    def build_batch(self, batch: Sequence[LabelledAnswer]) -> list[Row]:
        """Build the rows of a batch: texts sometimes with typos."""
        return [self._build_row(answer) for answer in batch]

    def _build_row(self, answer: LabelledAnswer) -> Row:
        first = self._first[answer.prompt_id]
        row = NetworkRow(
            concepts=tuple(concept.label for concept in self._prompts[answer.prompt_id].concepts),
            numbers=tuple(range(first, first + CONCEPTS)),
            text=mistype(answer.text, self._rng),
        )
        return row, answer.verdicts


def _warm_then_down(total: int) -> Callable[[int], float]:
    warm = max(1, round(WARM_UP_SHARE * total))

    def share(step: int) -> float:
        return min(1.0, (step + 1) / warm) * max(0.02, 1 - step / total)

    return share


def _read_options() -> argparse.Namespace:
    standard = Recipe()
    parser = build_module_parser("quizzes.grader.worker.train", __doc__)
    add = parser.add_argument
    add("--models-dir", type=Path, default=load_settings().models_dir, help="where models are kept")
    add("--out", type=Path, default=WEIGHTS, help="folder to write the network to")
    add("--threads", type=int, default=torch.get_num_threads(), help="threads of PyTorch")
    add("--own", action="store_true", help="train the network for learners' own prompts")
    add("--rows", type=int, default=standard.rows, help="rows of a step")
    add("--seed", type=int, default=standard.seed, help="equal seeds on one machine give equal weights")
    add("--epochs", type=int, default=standard.epochs, help="epochs")
    add("--rank", type=int, default=standard.rank, help="rank of the adapter")
    add("--contrast", type=float, default=standard.contrast, help="weight of the contrast loss")
    add(
        "--learning-rate",
        type=float,
        default=standard.learning_rate,
        help="of the adapter; twice that for the heads",
    )
    add("--drawn", type=float, default=standard.drawn, help="share of the answer groups that an epoch reads")
    add(
        "--first-layer",
        type=int,
        default=standard.first_layer,
        help="keep the layers below this one as they are",
    )
    add("--only-new", action="store_true", help="with --resume: train new concepts' parts only")
    add("--resume", type=Path, help="train these tensors further")
    add("--average", action="store_true", help="with --resume: keep the mean of the tensors before and after")
    add("--limits-only", action="store_true", help="keep the weights, fit their limits again")
    add("--keep-temperature", action="store_true", help="fit the limits alone")
    add("--part", type=int, default=standard.part, help="tenth of the groups to hold out")
    options = parser.parse_args()
    if options.average and not options.resume:
        parser.error("--average needs --resume: it keeps the mean of the tensors before and after")
    return options


def _print_progress(progress: Progress) -> None:
    print(progress.step, file=sys.stderr)  # noqa: T201 - a command line prints


if __name__ == "__main__":
    sys.exit(main())
