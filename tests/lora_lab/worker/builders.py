"""Models, data and gradients for tests of the worker: the lab's form, and the usual one to compare with."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from hqq.core.quantize import HQQLinear
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn

from lora_lab.data.batches import RowSize, compute_row_sizes
from lora_lab.data.datasets import Dataset, Example, build_own_dataset, split_examples
from lora_lab.memory.ledger import find_heaviest_row
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import HQQ_BITS, Bits, Compute, RunSpec
from lora_lab.worker.device.machine import Machine
from lora_lab.worker.device.number_type import DTYPES
from lora_lab.worker.model.load import load_model, silence_libraries
from lora_lab.worker.training.adapter_stack import CellAdapter
from lora_lab.worker.training.group import AdapterGroup, attach_alone, count_shared_tokens
from lora_lab.worker.training.loaded_model import Adapted, LoadedModel, attach_adapter, open_model
from lora_lab.worker.training.loop import StepResult, answer_loss
from lora_lab.worker.training.packing import (
    IGNORED,
    Encoded,
    cut_to,
    encode_example,
    list_lengths,
    pack_examples,
)
from tests.lora_lab.worker.alone import train_alone

CPU = torch.device("cpu")
BYTES_A_WEIGHT: dict[Bits, float] = {
    "fp32": 4, "bf16": 2, "int8": 1, "nf4": 0.5, "nf4-dq": 0.5, "fp4": 0.5,
    "hqq8": 1, "hqq4": 0.5, "hqq3": 0.4, "hqq2": 0.25, "hqq1": 0.125,
}  # fmt: skip
TINY = RunSpec(model="tiny-random", steps=3, batch=4, compute_dtype="fp32")
_ENCODED: dict[tuple[str, str], tuple[Encoded, ...]] = {}

silence_libraries()


def silent(progress: object) -> None:
    """Nobody watches."""


def never_stop() -> bool:
    """Nobody stops the run."""
    return False


@contextmanager
def full_disk(largest_file_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond that; writers meet what they meet on a full disk."""
    import resource  # not above: Windows has none, and the other builders work there

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def machine(compute: Compute, device: torch.device = CPU) -> Machine:
    return Machine(device=device, compute_dtype=DTYPES[compute])


def small_dataset() -> Dataset:
    """Sixteen short pairs, a few of them held out."""
    pairs = [Example(prompt=f"What is {n} + {n}?", answer=f"It is {2 * n}.") for n in range(16)]
    return split_examples(pairs, label="sums")


@dataclass
class Lab:
    """A session with an adapter on it, and the examples of its spec."""

    loaded: LoadedModel
    adapted: Adapted | AdapterGroup
    examples: list[Encoded]
    spec: RunSpec

    @property
    def model(self) -> PeftModel:
        return self.adapted.model

    def train(self, spec: RunSpec | None = None) -> list[StepResult]:
        """Real steps of the lab's loop."""
        results: list[StepResult] = []
        train_alone(
            self.adapted,
            self.loaded,
            self.examples,
            spec or self.spec,
            on_step=results.append,
            should_stop=never_stop,
        )
        return results

    def loss(self, batch: Sequence[Encoded]) -> Tensor:
        """Of one packed row, as in training."""
        device = self.loaded.machine.device
        return answer_loss(self.model, pack_examples(batch, device), self.loaded.machine.autocast())

    def look(self, batch: Sequence[Encoded]) -> tuple[Tensor, float]:
        """The gradient as one float64 vector, and the loss, on the path that the adapter trains on."""
        if isinstance(self.adapted, Adapted):
            return gradient_and_loss(self.model.train(), lambda: self.loss(batch))
        (cell,) = self.adapted.cells
        device = self.loaded.machine.device
        row = pack_examples(batch, device, shared=count_shared_tokens(batch, device))
        (loss,), _ = self.adapted.compute_gradients([cell], [row])
        return cell_gradient(self.adapted, cell), loss

    def reattach(self, spec: RunSpec, *, graph: bool | None = None) -> "Lab":
        """The same base with another fresh adapter, as for the next run of a warm worker."""
        self.loaded.base = self.model.unload()
        same = isinstance(self.adapted, Adapted)
        return with_adapter(self.loaded, spec, graph=same if graph is None else graph)


def open_lab(
    spec: RunSpec,
    compute: Compute,
    models_dir: Path,
    *,
    device: torch.device = CPU,
    dataset: Dataset | None = None,
    graph: bool = True,
    tried: bool = False,
) -> Lab:
    """As a worker opens it; with `graph`, always with PyTorch's graph, whose layers a test can call; with
    `tried`, without the trial of the written-out layer, which takes seconds on the embedded model.
    """
    loaded = open_model(spec.model, spec.bits, machine(compute, device), models_dir=models_dir, report=silent)
    if tried:
        loaded.written_out = True
    return with_adapter(loaded, spec, dataset, graph=graph)


def with_adapter(
    loaded: LoadedModel, spec: RunSpec, dataset: Dataset | None = None, *, graph: bool = True
) -> Lab:
    examples = cut_to(encode_examples(loaded, dataset or build_own_dataset()), spec.seq_len_tokens)
    shape = find_shape(spec.model)
    adapted = attach_adapter(loaded, spec, shape) if graph else attach_alone(loaded, spec, shape, examples)
    return Lab(loaded, adapted, examples, spec)


def encode_examples(loaded: LoadedModel, dataset: Dataset) -> list[Encoded]:
    """The training examples in the session's tokens; once for each model, because hundreds of tests need them
    and the app's own take as long as opening the tiny model.
    """
    key = loaded.model_name, dataset.digest
    if key not in _ENCODED:
        _ENCODED[key] = tuple(encode_example(loaded.tokenizer, example) for example in dataset.train)
    return list(_ENCODED[key])


def shortest_answered(examples: Sequence[Encoded]) -> list[Encoded]:
    """Of the app's own, the shortest with at least twenty tokens to learn: the fewer there are of them, the
    more a batch is at the mercy of each rounding, while a longer prompt adds nothing but time.
    """
    several = [item for item in examples if item.answer_tokens >= 20]
    return sorted(several, key=lambda item: len(item.ids))[:24]


def plain_peft(spec: RunSpec, models_dir: Path, *, bits: Bits | None = None) -> PeftModel:
    """The usual recipe in fp32: PEFT's own layers on the library's own forward, nothing of ours."""
    spec = replace(spec, bits=bits or spec.bits)
    base = load_model(
        spec.model,
        spec.bits,
        compute_dtype=torch.float32,
        device=CPU,
        models_dir=models_dir,
        report=silent,
    )
    return adapt(base, spec)


def adapt(base: nn.Module, spec: RunSpec) -> PeftModel:
    """A fresh adapter as PEFT makes it."""
    config = LoraConfig(
        r=spec.rank,
        lora_alpha=int(spec.alpha),
        target_modules=_targets(spec),
        use_rslora=spec.variant == "rslora",
        use_dora=spec.variant == "dora",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(base, config)


def _targets(spec: RunSpec) -> str | list[str]:
    """PEFT's "all-linear" looks for nn.Linear and passes HQQ's layers over."""
    if spec.targets == "all-linear" and spec.bits not in HQQ_BITS:
        return "all-linear"
    return find_shape(spec.model).list_target_modules(spec.targets)


def padded_loss(model: nn.Module, batch: Sequence[Encoded]) -> Tensor:
    """The usual loss: rows padded to the longest, labels masked, every position through the head."""
    longest = max(len(item.ids) for item in batch)
    columns: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": [], "labels": []}
    for item in batch:
        missing, prompt = longest - len(item.ids), len(item.ids) - item.answer_tokens
        columns["input_ids"].append([*item.ids, *[0] * missing])
        columns["attention_mask"].append([1] * len(item.ids) + [0] * missing)
        columns["labels"].append([IGNORED] * prompt + list(item.ids[prompt:]) + [IGNORED] * missing)
    inputs = {name: torch.tensor(rows) for name, rows in columns.items()}
    loss: Tensor = model(**inputs, use_cache=False).loss
    return loss


def copy_adapter(source: nn.Module, target: nn.Module) -> None:
    """The same A and B on another model."""
    trained = dict(source.named_parameters())
    with torch.no_grad():
        for name, parameter in target.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(trained[name])


def gradient(model: nn.Module, loss: Callable[[], Tensor]) -> Tensor:
    """The whole adapter's gradient as one float64 vector."""
    trained = sorted((name, p) for name, p in model.named_parameters() if p.requires_grad)
    for _, parameter in trained:
        parameter.grad = None
    loss().backward()
    found = [p.grad.double().flatten().cpu() for _, p in trained if p.grad is not None]
    assert len(found) == len(trained)
    return torch.cat(found)


def gradient_and_loss(model: nn.Module, loss: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """The same, with the loss that it belongs to."""
    found: list[float] = []

    def remembered() -> Tensor:
        value = loss()
        found.append(value.item())
        return value

    return gradient(model, remembered), found[0]


def cell_gradient(group: AdapterGroup, cell: CellAdapter) -> Tensor:
    """The same of a cell of a group, once its gradient is clipped, which does not turn it."""
    own = sorted((name, p) for name, p in group.model.named_parameters() if f".{cell.name}." in name)
    parts = [cell.grad.as_strided(p.shape, p.stride(), p.storage_offset()) for _, p in own]
    return torch.cat([part.double().flatten().cpu() for part in parts])


def cosine(a: Tensor, b: Tensor) -> float:
    """In float64: a float32 dot product over two million values reads 1.0004 for equal vectors."""
    assert a.dtype == b.dtype == torch.float64
    return float(a @ b / (a.norm() * b.norm()))


def rows_of(lab: Lab) -> list[RowSize]:
    """Planned from lengths alone, as the page does it before there is a worker."""
    return compute_row_sizes(list_lengths(lab.examples), lab.spec, on_gpu=lab.loaded.machine.on_gpu)


def with_a_heavy_last_row(lab: Lab) -> Lab:
    """A run of two steps whose second row is the heavier one: the first has less to hold beside it."""
    for seed in range(50):
        seeded = replace(lab, spec=replace(lab.spec, seed=seed))
        rows, shape = rows_of(seeded), find_shape(lab.spec.model)
        heaviest = find_heaviest_row(shape, seeded.spec, rows, lab.loaded.machine.compute_name)
        if (heaviest.lengths, heaviest.answer_tokens) == (rows[-1].lengths, rows[-1].answer_tokens):
            return seeded
    raise AssertionError("no seed has its heaviest row last")


def stored_bytes(layer: Any) -> int:
    """Of a linear layer's weight as it is kept."""
    return stored_codes(layer).nbytes


def stored_codes(layer: Any) -> Tensor:
    """The tensor that a linear layer's weight is kept in."""
    return cast(Tensor, layer.W_q.data if isinstance(layer, HQQLinear) else layer.weight.data)


def logical_numbers(layer: Any) -> int:
    """Of the weight that it stands for, packed or not."""
    return cast(int, layer.in_features * layer.out_features)


def linears(model: nn.Module) -> list[Any]:
    """Every linear layer of the base model except the head."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | HQQLinear) and module is not head and "lora_" not in name
    ]
