"""Training and measuring the way a run that is alone takes, without a run: for tests and benchmarks."""

from collections.abc import Callable, Sequence

from lora_lab.spec import RunSpec
from lora_lab.worker.training.group import AdapterGroup
from lora_lab.worker.training.group_loop import train_group
from lora_lab.worker.training.loaded_model import Adapted, LoadedModel
from lora_lab.worker.training.loop import NonFiniteLoss, StepResult, held_out_loss, never_stop, train_adapter
from lora_lab.worker.training.memory_meter import Meter
from lora_lab.worker.training.packing import Encoded


def train_alone(
    adapted: AdapterGroup | Adapted,
    loaded: LoadedModel,
    examples: Sequence[Encoded],
    spec: RunSpec,
    *,
    on_step: Callable[[StepResult], None],
    should_stop: Callable[[], bool] = never_stop,
    meter: Meter | None = None,
) -> None:
    """Run `spec.steps` optimizer steps, or fewer when asked to stop. Raises NonFiniteLoss."""
    if isinstance(adapted, Adapted):
        train_adapter(
            adapted.model,
            examples,
            spec,
            loaded.machine,
            on_step=on_step,
            should_stop=should_stop,
            meter=meter,
        )
        return
    errors: list[NonFiniteLoss | None] = []
    adapted.cells[0].spec = spec
    train_group(
        adapted,
        examples,
        on_step=lambda cell, step: on_step(step.alone),
        should_stop=lambda cell: should_stop(),
        on_end=lambda cell, error: errors.append(error),
        meter=meter,
    )
    if errors and errors[0] is not None:
        raise errors[0]


def measure_alone(
    adapted: AdapterGroup | Adapted, loaded: LoadedModel, held_out: Sequence[Encoded]
) -> tuple[float, float]:
    """Compute the held-out loss of the base model and with the adapter."""
    if isinstance(adapted, AdapterGroup):
        before = adapted.compute_base_loss(held_out)
        (after,) = adapted.compute_held_out_losses(adapted.cells, held_out)
        return before, after
    with adapted.model.disable_adapter():
        before = held_out_loss(adapted.model, held_out, loaded.machine.autocast)
    return before, held_out_loss(adapted.model, held_out, loaded.machine.autocast)
