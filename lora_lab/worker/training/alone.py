"""One adapter on a loaded model, attached the way a run that is alone takes."""

from collections.abc import Sequence

from lora_lab.memory.written_out import is_written_out
from lora_lab.parameters.shapes import ModelShape
from lora_lab.spec import RunSpec
from lora_lab.worker.training.group import AdapterGroup
from lora_lab.worker.training.packing import Encoded
from lora_lab.worker.training.session import Adapted, ModelSession, attach_adapter


def attach_alone(
    session: ModelSession, spec: RunSpec, shape: ModelShape, examples: Sequence[Encoded]
) -> AdapterGroup | Adapted:
    """Attach a fresh adapter: a group of one where the model's layer is written out, else with a graph."""
    compute = session.machine.compute_name
    if is_written_out(shape.model_type, compute, variant=spec.variant, optimizer=spec.optimizer):
        group = AdapterGroup(session, [spec], shape)
        if group.agrees_with_library(examples):
            return group
        session.base = group.model.unload()
    return attach_adapter(session, spec, shape)
