"""Training of the grader: LoRA on all linear layers of MiniLM, from labelled answers, in one command.

    python -m quizzes.grader.worker.train [--seed 0] [--out FOLDER] [--threads 2]

Each seed trains one network; the grader averages all networks in the folder.

Writes the adapter, its thresholds and its training record. A tenth of the answer groups is held out for
evaluation. Temperature and thresholds are fitted on answers of another writer (fit_limits.py); thresholds
fitted on half of the prompts are measured on the other half.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from random import Random

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional
from transformers.utils import logging

from quizzes.grader.grading import concept_text
from quizzes.grader.labelled_answers import OTHER_WRITER, LabelledAnswer, load_answers
from quizzes.grader.limits import write_measured
from quizzes.grader.metrics import compute_report
from quizzes.grader.minilm import fetch_minilm
from quizzes.grader.prompts import CONCEPTS, Prompt, load_prompts
from quizzes.grader.weights import TENSORS, WEIGHTS, Weights, write_made_of, write_weights
from quizzes.grader.worker.examples import STRENGTH, held_out, mistype, split_epoch
from quizzes.grader.worker.fit_limits import calibrate
from quizzes.grader.worker.network import AnswerReader, NetworkRow, build_network, collate, save_tensors
from quizzes.grader.worker.reader import load_reader
from study.base.model_files import Progress
from study.base.settings import load_settings
from study.content.concepts import load_concepts

LAYERS = ["query", "key", "value", "dense"]
HEADS_LEARNING_RATE = 2e-3
WARM_UP_SHARE = 0.08
CLIP = 1.0
ALPHA_OVER_RANK = 2
MARGIN = 2.0
COVERED, CONTRADICTED = STRENGTH.index("covered"), STRENGTH.index("contradicted")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The hyperparameters of a training; equal recipes on one machine give equal weights."""

    seed: int = 0
    epochs: int = 4
    rows: int = 32
    rank: int = 24
    learning_rate: float = 1e-3
    contrast: float = 0.3
    """Weight of the contrast loss, which ranks a right statement above its false minimal pair."""

    known: float = 0.85
    """Share of rows that use the concepts' own embeddings and heads; the rest have the words alone."""

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
        part=options.part,
    )
    prompts = load_prompts(load_concepts())
    answers = load_answers(prompts)
    base = fetch_minilm(options.models_dir, _print_progress)
    learnt = [answer for answer in answers if not held_out(answer, part=recipe.part)]
    print(f"{len(learnt)} of {len(answers)} answers to learn from", flush=True)  # noqa: T201
    if not options.limits_only:
        network = train_network(recipe, base, prompts, learnt)
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
    return {name: version(name) for name in ("torch", "transformers", "peft")}


def train_network(
    recipe: Recipe, base: Path, prompts: Mapping[str, Prompt], answers: Sequence[LabelledAnswer]
) -> AnswerReader:
    """Train a network: all epochs in one loop."""
    torch.manual_seed(recipe.seed)
    dice = Random(recipe.seed)
    network, tokenizer = build_network(base, known_concepts=len(prompts) * CONCEPTS, training=True)
    add_adapters(network, recipe)
    encoder, heads = _list_trainable(network)
    groups = [{"params": encoder, "lr": recipe.learning_rate}, {"params": heads, "lr": HEADS_LEARNING_RATE}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
    batches = [split_epoch(answers, dice, rows=recipe.rows) for _ in range(recipe.epochs)]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warm_then_down(sum(map(len, batches))))
    begun = time.monotonic()
    for number, part in enumerate(batches, start=1):
        losses = []
        for batch in part:
            rows = collate(tokenizer, [_build_row(answer, prompts, recipe, dice) for answer in batch])
            labels = torch.tensor([[STRENGTH.index(v) for v in answer.verdicts] for answer in batch])
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(rows)  # (rows, concepts, verdicts)
            loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
            losses.append(loss.item())
            loss = loss + recipe.contrast * contrast_loss(logits, labels, batch)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([*encoder, *heads], CLIP)
            optimizer.step()
            schedule.step()
        mean, seconds = sum(losses) / len(losses), time.monotonic() - begun
        print(f"epoch {number} of {recipe.epochs}: loss {mean:.3f}, {seconds:.0f} s", flush=True)  # noqa: T201
    return network


def add_adapters(network: AnswerReader, recipe: Recipe) -> None:
    """Freeze MiniLM except its norms, and add a LoRA adapter to every linear layer."""
    config = LoraConfig(r=recipe.rank, lora_alpha=ALPHA_OVER_RANK * recipe.rank, target_modules=LAYERS)
    network.encoder = get_peft_model(network.encoder, config)
    for name, parameter in network.encoder.named_parameters():
        if "LayerNorm" in name:
            parameter.requires_grad_(True)


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


def _build_row(
    answer: LabelledAnswer, prompts: Mapping[str, Prompt], recipe: Recipe, dice: Random
) -> NetworkRow:
    """Build a row: the answer, sometimes with typos, and its concepts, sometimes without their numbers."""
    concepts = prompts[answer.prompt_id].concepts
    first = list(prompts).index(answer.prompt_id) * CONCEPTS + 1
    known = dice.random() < recipe.known
    return NetworkRow(
        concepts=tuple(concept.label for concept in concepts),
        numbers=tuple(first + at if known else 0 for at in range(CONCEPTS)),
        text=mistype(answer.text, dice),
    )


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
    parser.add_argument("--limits-only", action="store_true", help="keep the weights, set their limits anew")
    parser.add_argument("--part", type=int, default=standard.part, help="tenth of the groups to hold out")
    return parser.parse_args()


def _print_progress(progress: Progress) -> None:
    print(progress.step, file=sys.stderr)  # noqa: T201 - a command line prints


if __name__ == "__main__":
    sys.exit(main())
