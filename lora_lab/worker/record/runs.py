"""Real runs of the embedded model, one without a fault and each other with one, for "Read the run".

    python -m lora_lab.worker.record.runs                 record all
    python -m lora_lab.worker.record.runs leak rate-high  record these

Each run is one file of `lora_lab/tasks/recorded/`: settings, data, every step, held-out loss, and its
provenance. The functions of the lab's own loop (worker/training/loop.py) do the steps; a fault changes what
they are given.
"""

import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from lora_lab.data.batches import step_plan
from lora_lab.data.datasets import Example, build_own_dataset
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import EMBEDDED_MODEL, RunSpec
from lora_lab.tasks.recordings import FOLDER
from lora_lab.worker.device.machine import find_machine
from lora_lab.worker.model.load import silence_libraries
from lora_lab.worker.record.provenance import describe_recording
from lora_lab.worker.training.loaded_model import LoadedModel, attach_adapter, open_model
from lora_lab.worker.training.loop import (
    CLIP_NORM,
    answer_loss,
    build_optimizer,
    compute_learning_rate,
    held_out_loss,
)
from lora_lab.worker.training.packing import (
    PLAIN_PROMPT,
    Encoded,
    cut_to,
    pack_examples,
)
from study.base.command_line import build_module_parser
from study.base.settings import load_settings

TRAIN, HELD_OUT = 24, 4
"""Examples, the shortest of the app's own, so that a run takes half a minute on two idle cores."""

HELD_OUT_EVERY = 4
USUAL = RunSpec(bits="fp32", rank=8, alpha=16, learning_rate=2e-3, batch=3, steps=16, seq_len_tokens=128)
SYSTEM = "Answer."
CONTINUED_RATE = 1e-5
CONSONANTS, VOWELS, DIGITS = "bcdfghjklmnpqrstvwz", "aeiou", "0123456789"
SAVED_HEAD = "lm_head"

Encode = Callable[[Any, Example], Encoded]
Rate = Callable[[int, RunSpec], float]
Data = tuple[list[Example], list[Example]]
"""Examples to train on and held-out ones."""


def _usual_rate(step: int, spec: RunSpec) -> float:
    return compute_learning_rate(step, steps=spec.steps, peak=spec.learning_rate)


def _endless_warmup(step: int, spec: RunSpec) -> float:
    """Warm up over 1,000 steps, of a run that has 16."""
    return spec.learning_rate * step / 1000


def _ended_rate(step: int, spec: RunSpec) -> float:
    """Decay to zero over a quarter of the steps."""
    planned = spec.steps // 4
    return compute_learning_rate(step, steps=planned, peak=spec.learning_rate) if step <= planned else 0.0


def _encode_chat(tokenizer: Any, example: Example) -> Encoded:
    """Encode as the lab does, but with a shorter system message than the template's own, which saves time."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": example.prompt}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    answer = [*tokenizer(example.answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    return Encoded(ids=tuple(ids + answer), answer_tokens=len(answer))


def _encode_all_trained(tokenizer: Any, example: Example) -> Encoded:
    """Train on every token that has one before it, the template's and the prompt's included."""
    found = _encode_chat(tokenizer, example)
    return replace(found, answer_tokens=len(found.ids) - 1)


def _encode_plain(tokenizer: Any, example: Example) -> Encoded:
    """Encode with another template than the model was tuned with, and without its end-of-turn token."""
    prompt = tokenizer(PLAIN_PROMPT.format(prompt=example.prompt), add_special_tokens=False)["input_ids"]
    answer = tokenizer(example.answer, add_special_tokens=False)["input_ids"]
    return Encoded(ids=tuple(prompt + answer), answer_tokens=len(answer))


def _shift_answers(train: list[Example], held_out: list[Example]) -> Data:
    """Give every prompt the answer of the row before."""
    answers = [example.answer for example in train]
    return [replace(each, answer=answers[at - 1]) for at, each in enumerate(train)], held_out


def _make_codes(train: list[Example], held_out: list[Example]) -> Data:
    """Give as many made-up names a random code of four digits each: all of it has to be memorized."""
    rng = random.Random(7)
    names: set[str] = set()
    while len(names) < len(train) + len(held_out):
        names.add("".join(rng.choice(CONSONANTS) + rng.choice(VOWELS) for _ in range(3)))
    rows = [
        Example(prompt=f"{name}?", answer="".join(rng.choice(DIGITS) for _ in range(4)))
        for name in sorted(names)
    ]
    return rows[: len(train)], rows[len(train) :]


@dataclass(frozen=True, kw_only=True)
class FaultyRunRecipe:
    """How one run is made; the defaults are those of the run without a fault."""

    spec: RunSpec = USUAL
    encode: Encode = _encode_chat
    data: Callable[[list[Example], list[Example]], Data] = lambda train, held_out: (train, held_out)
    rate: Rate = _usual_rate
    held_out_every: int = HELD_OUT_EVERY
    saves_head: bool = False
    continued: bool = False
    """Train first as usual, then go on at CONTINUED_RATE; only the second part is recorded."""

    stored_in_bf16: bool = False
    """Round the adapter to bf16 after every step, which is what storing it in bf16 does."""


FIRST_LAYER = r"model\.layers\.0\.self_attn\.v_proj"
LAST_DOWN = r"model\.layers\.29\.mlp\.down_proj"
LONG = replace(USUAL, steps=24)
CODES = replace(USUAL, rank=16, alpha=32, targets=LAST_DOWN, learning_rate=1.2e-2, batch=8, steps=192)
"""One adapted matrix at the end: with rank 1 all that it adds lies on one line, and ten digits don't."""

RECIPES: dict[str, FaultyRunRecipe] = {
    "healthy": FaultyRunRecipe(),
    "rate-high": FaultyRunRecipe(spec=replace(USUAL, learning_rate=5e-2)),
    "rate-low": FaultyRunRecipe(spec=replace(USUAL, learning_rate=2e-6)),
    "alpha-tiny": FaultyRunRecipe(spec=replace(USUAL, alpha=0.004)),
    "overfitting": FaultyRunRecipe(spec=LONG, data=lambda train, held_out: (train[:6], held_out)),
    "duplicates": FaultyRunRecipe(data=lambda train, held_out: (train[:3] * (len(train) // 3), held_out)),
    "leak": FaultyRunRecipe(spec=LONG, data=lambda train, held_out: ([*train[:4], *held_out], held_out)),
    "unmasked": FaultyRunRecipe(encode=_encode_all_trained),
    "template": FaultyRunRecipe(encode=_encode_plain),
    "shifted": FaultyRunRecipe(data=_shift_answers),
    "targets": FaultyRunRecipe(spec=replace(USUAL, targets=FIRST_LAYER)),
    "warmup-long": FaultyRunRecipe(rate=_endless_warmup),
    "rate-ended": FaultyRunRecipe(rate=_ended_rate),
    "cut": FaultyRunRecipe(spec=replace(USUAL, seq_len_tokens=40)),
    "bf16-adapter": FaultyRunRecipe(continued=True, stored_in_bf16=True),
    "continued": FaultyRunRecipe(continued=True),
    "batch-one": FaultyRunRecipe(spec=replace(USUAL, batch=1)),
    "saved-head": FaultyRunRecipe(saves_head=True),
    "rank-low": FaultyRunRecipe(spec=replace(CODES, rank=1, alpha=2), data=_make_codes, held_out_every=48),
    "rank-enough": FaultyRunRecipe(spec=CODES, data=_make_codes, held_out_every=48),
}


def pick_examples() -> Data:
    """Pick the shortest examples of either side, in the order of the data set."""
    dataset = build_own_dataset()
    return _select_shortest(dataset.train, TRAIN), _select_shortest(dataset.held_out, HELD_OUT)


def _select_shortest(examples: Sequence[Example], count: int) -> list[Example]:
    chosen = sorted(examples, key=lambda each: (len(each.prompt) + len(each.answer), each.prompt))[:count]
    return [each for each in examples if each in chosen]


class Recorder:
    """One recipe on one loaded model."""

    def __init__(self, loaded: LoadedModel, recipe: FaultyRunRecipe) -> None:
        self._loaded, self._recipe = loaded, recipe
        self._train, self._held_out = recipe.data(*pick_examples())
        encoded = [recipe.encode(loaded.tokenizer, each) for each in self._train]
        self._cut = sum(len(item.ids) > recipe.spec.seq_len_tokens for item in encoded)
        self._examples = cut_to(encoded, recipe.spec.seq_len_tokens)
        self._kept = [_encode_chat(loaded.tokenizer, each) for each in self._held_out]

    def record(self) -> dict[str, Any]:
        """Train and return everything that was seen."""
        recipe, loaded = self._recipe, self._loaded
        model = self._attach()
        parameters = [p for p in model.parameters() if p.requires_grad]
        spec = recipe.spec
        if recipe.continued:
            for _ in self._run_steps(model, parameters, spec, stored_in_bf16=False, rate=_usual_rate):
                pass
            spec = replace(spec, learning_rate=CONTINUED_RATE)
            if recipe.stored_in_bf16:
                _round_to_bf16(parameters)
        held_out = [{"step": 0, "loss": self._held_out_loss(model)}]
        steps = []
        for step in self._run_steps(
            model, parameters, spec, stored_in_bf16=recipe.stored_in_bf16, rate=recipe.rate
        ):
            steps.append(step)
            if step["step"] % recipe.held_out_every == 0:
                held_out.append({"step": step["step"], "loss": self._held_out_loss(model)})
        trainable, total = model.get_nb_trainable_parameters()
        loaded.base = model.unload()
        return {
            "spec": asdict(spec),
            "data": {
                "rows": len(self._train),
                "different_rows": len(set(self._train)),
                "held_out_rows": len(self._held_out),
                "cut_rows": self._cut,
                "tokens": sum(len(item.ids) for item in self._examples),
                "trained_tokens": sum(item.answer_tokens for item in self._examples),
                "first_row": loaded.tokenizer.decode(self._examples[0].ids),
            },
            "trainable": trainable,
            "total": total,
            "adapter_bytes": sum(p.numel() * (2 if recipe.stored_in_bf16 else 4) for p in parameters),
            "steps": steps,
            "held_out": held_out,
        }  # fmt: skip

    def _attach(self) -> Any:
        shape = find_shape(self._loaded.model_name)
        saved = [SAVED_HEAD] if self._recipe.saves_head else None
        return attach_adapter(self._loaded, self._recipe.spec, shape, modules_to_save=saved).model

    def _run_steps(
        self,
        model: nn.Module,
        parameters: list[nn.Parameter],
        spec: RunSpec,
        *,
        stored_in_bf16: bool,
        rate: Rate,
    ) -> Iterator[dict[str, float]]:
        """Run the steps; yield what each optimizer step measured; the steps are those of `train_adapter`."""
        machine = self._loaded.machine
        optimizer = build_optimizer(parameters, spec)
        plan = step_plan(len(self._examples), batch=spec.batch, steps=spec.steps, seed=spec.seed)
        model.train()
        for number, picked in enumerate(plan, start=1):
            learning_rate = rate(number, spec)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            row = pack_examples([self._examples[at] for at in picked], machine.device)
            loss = answer_loss(model, row, machine.autocast())
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
            before = [p.detach().clone() for p in parameters]
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
            if stored_in_bf16:
                _round_to_bf16(parameters)
            yield {
                "step": number,
                "loss": round(loss.item(), 4),
                "learning_rate": float(f"{learning_rate:.4g}"),
                "grad_norm": float(f"{norm.item():.4g}"),
                "changed_percent": round(100 * _compute_changed_share(before, parameters), 1),
                "trained_tokens": row.targets.numel(),
            }

    def _held_out_loss(self, model: nn.Module) -> float:
        found = held_out_loss(model, self._kept, self._loaded.machine.autocast)
        model.train()
        return round(found, 4)


@torch.no_grad()
def _round_to_bf16(parameters: Sequence[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.copy_(parameter.bfloat16())


def _compute_changed_share(before: Sequence[Tensor], after: Sequence[Tensor]) -> float:
    changed = sum(int((old != new).sum()) for old, new in zip(before, after, strict=True))
    return changed / sum(old.numel() for old in before)


def main() -> int:
    """Record the runs that are named, or all."""
    parser = build_module_parser("lora_lab.worker.record.runs", __doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RECIPES)}")
    names = parser.parse_args().names or list(RECIPES)
    if unknown := sorted(set(names) - set(RECIPES)):
        parser.error(f"no such run: {', '.join(unknown)}")
    silence_libraries()
    machine, models_dir = find_machine("fp32"), load_settings().models_dir
    FOLDER.mkdir(exist_ok=True)
    loaded: LoadedModel | None = None
    for name in names:
        recipe = RECIPES[name]
        if loaded is None or loaded.bits != recipe.spec.bits:
            loaded = open_model(EMBEDDED_MODEL, recipe.spec.bits, machine, models_dir=models_dir)
        provenance = describe_recording(f"lora_lab.worker.record.runs {name}", machine)
        found = {"id": name, "provenance": provenance} | Recorder(loaded, recipe).record()
        (FOLDER / f"{name}.json").write_text(json.dumps(found, ensure_ascii=False) + "\n", "utf-8")
        sys.stderr.write(f"{name}: {found['steps'][0]['loss']} -> {found['steps'][-1]['loss']}\n")
        if recipe.saves_head:
            loaded = None  # the saved head leaves a module around the model's own
    return 0


if __name__ == "__main__":
    sys.exit(main())
