"""Benchmark of the explain grader on labelled answers: accuracy by class, prompt and voice; latency.

    python -m benchmarks.grader [--answers NAME or FILE.jsonl] [--details FILE]

`held-out` is the tenth of the training answers that the network is not trained on, `dev` are answers of
other writers, on which limits are set; on those of others, `fresh` to `fresh6`, nothing
is set. Of prompts like a learner's own, limits are set on `own-held-out`, and nothing on `own` and `own2` to
`own4`. A file of JSON lines in the public contract's format is accepted too.
Three baselines each get the threshold that suits them best on the answers that they are measured on; the
grader does not.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import fields, replace
from functools import cache
from operator import attrgetter
from pathlib import Path
from statistics import median, quantiles

import torch
from torch.nn import functional

from quizzes.grader.grader_client import GraderClient
from quizzes.grader.grading import Limits, Scorer, decide_verdict, format_concept, grade_answer
from quizzes.grader.guards import list_words
from quizzes.grader.labelled_answers import (
    BLIND,
    OTHER_WRITER,
    OWN_BLIND,
    OWN_TRAINING,
    LabelledAnswer,
    load_answers,
    load_own_prompts,
)
from quizzes.grader.metrics import GraderReport, JudgedAnswer, compute_report
from quizzes.grader.minilm import fetch_minilm
from quizzes.grader.prompts import Prompt, load_prompts, write_as_own
from quizzes.grader.weights import WEIGHTS, Weights, list_adapters, read_weights
from quizzes.grader.worker.encoder import WordPieces
from quizzes.grader.worker.examples import is_held_out, is_prompt_held_out
from quizzes.grader.worker.fit_limits import build_scorer
from quizzes.grader.worker.network import build_network
from quizzes.grader.worker.reader import Reader, load_reader
from study.base.command_line import build_module_parser
from study.base.model_files import ignore_progress
from study.base.settings import load_settings
from study.content.concepts import load_concepts
from study.ports.classes import VERDICTS, ConceptVerdict

STOP_WORDS = frozenset(
    list_words("a an and are as at be by for from in is it its of on or so such that the this to with")
)
LATENCY_ANSWERS = 200

Similarity = Callable[[Prompt, str], list[float]]
"""The similarity of an answer to each concept of its prompt."""


def report_by(
    judged: Sequence[JudgedAnswer], name: Callable[[LabelledAnswer], str]
) -> dict[str, GraderReport]:
    """Compute one report per class, prompt or voice."""
    parts: dict[str, list[JudgedAnswer]] = {}
    for one in judged:
        parts.setdefault(name(one.answer), []).append(one)
    return {part: compute_report(parts[part]) for part in sorted(parts)}


def count_confusion(judged: Sequence[JudgedAnswer]) -> Counter[tuple[ConceptVerdict, ConceptVerdict]]:
    """Return the confusion matrix: the count of each pair of a label and a verdict."""
    return Counter(pair for one in judged for pair in one.pairs)


def main() -> None:
    """Print every table."""
    parser = build_module_parser("benchmarks.grader", __doc__)
    parser.add_argument(
        "--answers", default="held-out", help="a name, or a file of JSON lines (default: held-out)"
    )
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the networks")
    parser.add_argument("--details", type=Path, help="write every wrong pair here, tab-separated")
    parser.add_argument("--quick", action="store_true", help="no baselines, no latency")
    options = parser.parse_args()
    prompts = _load_prompts(options.answers)
    answers = _load_answers(options.answers, prompts)
    models_dir = load_settings().models_dir
    base = fetch_minilm(models_dir, ignore_progress)
    reader, weights = load_reader(base, options.weights), read_weights(options.weights)
    limits = weights.choose_limits(next(iter(prompts.values())))
    judged = _judge_all(answers, prompts, build_scorer(reader), limits)
    print(f"{len(answers)} answers, {4 * len(answers)} pairs ({options.answers})\n")
    rows = {"grader": compute_report(judged)}
    if not options.quick:
        rows |= _report_parts(answers, prompts, reader, weights) | _report_baselines(answers, prompts, base)
    _print_table("all", rows)
    for title, field in (("class", "kind"), ("prompt", "prompt_id"), ("voice", "voice")):
        _print_table(title, report_by(judged, attrgetter(field)))
    _print_confusion(judged)
    if not options.quick:
        _print_latency(answers, prompts, models_dir)
    if options.details:
        _write_details(judged, prompts, options.details)


def _load_prompts(source: str) -> Mapping[str, Prompt]:
    if source == "own-held-out":
        own = load_own_prompts(OWN_TRAINING)
        return {prompt_id: prompt for prompt_id, prompt in own.items() if is_prompt_held_out(prompt_id)}
    folders = {folder.name: folder for folder in OWN_BLIND}
    return load_own_prompts(folders[source]) if source in folders else load_prompts(load_concepts())


def _load_answers(source: str, prompts: Mapping[str, Prompt]) -> list[LabelledAnswer]:
    folders = {folder.name: folder for folder in (OTHER_WRITER, *BLIND, *OWN_BLIND)}
    folders["own-held-out"] = OWN_TRAINING
    if source in folders:
        written = [prompt_id for prompt_id in prompts if (folders[source] / f"{prompt_id}.tsv").exists()]
        return load_answers(written, folder=folders[source])
    if source == "held-out":
        part = json.loads(list_adapters()[0].with_suffix(".json").read_text("utf-8"))["recipe"]["part"]
        return [answer for answer in load_answers(prompts) if is_held_out(answer, part=part)]
    return [_from_json(json.loads(line), prompts) for line in Path(source).read_text("utf-8").splitlines()]


def _from_json(record: Mapping[str, object], prompts: Mapping[str, Prompt]) -> LabelledAnswer:
    gold = record["gold"]
    assert isinstance(gold, dict)
    prompt = prompts[str(record["prompt"])]
    return LabelledAnswer(
        prompt_id=prompt.id,
        kind=str(record["class"]),
        voice="",
        pair="",
        verdicts=tuple(gold[concept.id] for concept in prompt.concepts),
        text=str(record["answer"]),
    )


def _judge_all(
    answers: Sequence[LabelledAnswer], prompts: Mapping[str, Prompt], score: Scorer, limits: Limits
) -> list[JudgedAnswer]:
    return [
        JudgedAnswer(
            answer=answer,
            verdicts=tuple(
                grade_answer(prompts[answer.prompt_id], answer.text, score, limits).verdicts.values()
            ),
        )
        for answer in answers
    ]


# ---- ablations


def _report_parts(
    answers: Sequence[LabelledAnswer], prompts: Mapping[str, Prompt], reader: Reader, weights: Weights
) -> dict[str, GraderReport]:
    """Report ablations: the grader without one of its parts, at the same thresholds."""
    limits = weights.choose_limits(next(iter(prompts.values())))
    as_own = copy(reader)
    as_own.known = {}
    likeliest = replace(limits, covered=0.5, doubt=1.0, contradicted=0.5, missing=0.5, partial=0.4)
    as_written = {prompt_id: write_as_own(prompt) for prompt_id, prompt in prompts.items()}
    return {
        "whole answers": compute_report(_grade_whole(answers, prompts, build_scorer(reader), limits)),
        "read as own prompts": compute_report(
            _judge_all(answers, as_written, build_scorer(as_own), weights.own_limits)
        ),
        "no limits set": compute_report(_judge_all(answers, prompts, build_scorer(reader), likeliest)),
    }


def _grade_whole(
    answers: Sequence[LabelledAnswer], prompts: Mapping[str, Prompt], score: Scorer, limits: Limits
) -> list[JudgedAnswer]:
    """Grade whole answers in one pass: no passages, no rules."""
    judged = []
    for answer in answers:
        concepts = [format_concept(concept) for concept in prompts[answer.prompt_id].concepts]
        [row] = score(concepts, [answer.text])
        judged.append(
            JudgedAnswer(answer=answer, verdicts=tuple(decide_verdict(scores, limits)[0] for scores in row))
        )
    return judged


# ---- baselines


def _report_baselines(
    answers: Sequence[LabelledAnswer], prompts: Mapping[str, Prompt], base: Path
) -> dict[str, GraderReport]:
    whole, clause = _build_cosines(base)
    named: dict[str, Similarity] = {
        "lexical overlap": _compute_overlap,
        "whole-answer cosine": whole,
        "best-clause cosine": clause,
    }
    return {name: _report_best_cut(answers, prompts, similarity) for name, similarity in named.items()}


def _report_best_cut(
    answers: Sequence[LabelledAnswer], prompts: Mapping[str, Prompt], similarity: Similarity
) -> GraderReport:
    """Report a baseline at the threshold with the best F1: covered from it on, missing below."""
    near = [similarity(prompts[answer.prompt_id], answer.text) for answer in answers]

    def cut(threshold: float) -> GraderReport:
        return compute_report(
            [
                JudgedAnswer(
                    answer=answer, verdicts=tuple("covered" if x >= threshold else "missing" for x in row)
                )
                for answer, row in zip(answers, near, strict=True)
            ]
        )

    return max((cut(step / 40) for step in range(1, 40)), key=lambda found: found.f1.value)


def _compute_overlap(prompt: Prompt, answer: str) -> list[float]:
    said = set(list_words(answer))
    wanted = [set(list_words(format_concept(concept))) - STOP_WORDS for concept in prompt.concepts]
    return [len(words & said) / len(words) for words in wanted]


def _build_cosines(base: Path) -> tuple[Similarity, Similarity]:
    network, tokenizer = build_network(base, known_concepts=0), WordPieces(base)

    @cache
    @torch.inference_mode()
    def embed(text: str) -> torch.Tensor:
        ids, mask = tokenizer.encode_all([text], longest=256)
        states = network.encoder(network.embeddings(ids), mask, torch.zeros_like(ids))
        return functional.normalize(states[0].mean(0), dim=0)

    def compare_whole(prompt: Prompt, answer: str) -> list[float]:
        return [float(embed(format_concept(concept)) @ embed(answer)) for concept in prompt.concepts]

    def compare_clauses(prompt: Prompt, answer: str) -> list[float]:
        parts = [part for part in re.split(r"[.;,!?\n]+", answer) if part.strip()] or [answer]
        rows = [compare_whole(prompt, part) for part in parts]
        return [max(column) for column in zip(*rows, strict=True)]

    return compare_whole, compare_clauses


# ---- latency


def _print_latency(
    answers: Sequence[LabelledAnswer], prompts: Mapping[str, Prompt], models_dir: Path
) -> None:
    """Print the latency through the worker process, as the page and the command line call it."""
    grader = GraderClient(models_dir)
    begun = time.perf_counter()
    grader.prepare()
    loaded = time.perf_counter() - begun
    chosen = answers[:: max(1, len(answers) // LATENCY_ANSWERS)]
    took = [_time_grading(grader, prompts[answer.prompt_id], answer.text) for answer in chosen]
    many = _time_grading(
        grader, prompts[chosen[0].prompt_id], " ".join(answer.text for answer in chosen) * 100
    )
    grader.close()
    cuts = quantiles(took, n=20)
    print(
        f"latency over {len(took)} answers: median {1000 * median(took):.0f} ms, "
        f"95 % under {1000 * cuts[-1]:.0f} ms"
    )
    print(
        f"to load {loaded:.1f} s; the longest answer that is read (8,000 characters) {1000 * many:.0f} ms\n"
    )


def _time_grading(grader: GraderClient, prompt: Prompt, answer: str) -> float:
    begun = time.perf_counter()
    grader.grade(prompt, answer)
    return time.perf_counter() - begun


# ---- tables


def _print_table(title: str, rows: Mapping[str, GraderReport]) -> None:
    names = [field.name for field in fields(GraderReport)]
    print(f"{title:24}" + "".join(f"{name:>19}" for name in names))
    for row, found in rows.items():
        print(f"{row[:23]:24}" + "".join(f"{_format_cell(found, name):>19}" for name in names))
    print()


def _format_cell(found: GraderReport, name: str) -> str:
    figure = getattr(found, name)
    return f"{figure.value:.3f} [{figure.low:.2f},{figure.high:.2f}]" if figure.pairs else "-"


def _print_confusion(judged: Sequence[JudgedAnswer]) -> None:
    print(f"{'label, then verdicts':24}" + "".join(f"{name:>14}" for name in VERDICTS))
    counts = count_confusion(judged)
    for label in dict.fromkeys(label for label, _ in counts):
        print(f"{label:24}" + "".join(f"{counts[label, name]:14}" for name in VERDICTS))
    print()


def _write_details(judged: Sequence[JudgedAnswer], prompts: Mapping[str, Prompt], path: Path) -> None:
    lines = ["prompt\tclass\tvoice\tconcept\tlabel\tverdict\tanswer"]
    for one in judged:
        answer = one.answer
        for concept, (label, verdict) in zip(prompts[answer.prompt_id].concepts, one.pairs, strict=True):
            if label != verdict:
                row = (answer.prompt_id, answer.kind, answer.voice, concept.id, label, verdict, answer.text)
                lines.append("\t".join(row))
    path.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
