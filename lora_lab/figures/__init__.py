"""Live figures by id: each is a small module that maps settings to numbers, and numbers to a picture.

    from lora_lab.figures import FIGURES
    FIGURES["lora-to-scale"].fragment({"rank": "16"})

`build_figures(models_dir)` returns the same figures, with the embedded model's tokenizer for a learner's own
text, and with another function for a step's memory where one is given.
"""

from pathlib import Path

from lora_lab.figures.adapters import (
    backward_graph,
    first_steps,
    forward_types,
    lora_to_scale,
    merging,
    relatives,
    scaling_over_ranks,
    singular_values,
    whole_model,
)
from lora_lab.figures.described import build_figure
from lora_lab.figures.quantization import (
    block_size,
    block_steps,
    double_quantization,
    four_bit_formats,
    number_lines,
)
from lora_lab.figures.training import (
    checkpointing,
    error_bars,
    kv_cache,
    paged_optimizer,
    rate_schedule,
    split_over_gpus,
    trained_tokens,
    training_memory,
)
from study.figures.figure import Figures


def build_figures(
    models_dir: Path | None = None, *, predict: whole_model.PredictStep = whole_model.predict_step
) -> Figures:
    """Build all figures, in the order of the concepts they belong to; `predict` says a step's memory."""
    every = (
        build_figure("lora-to-scale", lora_to_scale.show),
        build_figure("singular-values", singular_values.show),
        build_figure("scaling-over-ranks", scaling_over_ranks.show),
        build_figure("first-steps", first_steps.show),
        build_figure("number-lines", number_lines.show),
        build_figure("block-step-by-step", block_steps.show),
        build_figure("block-size", block_size.show),
        build_figure("double-quantization", double_quantization.show),
        build_figure("training-memory", training_memory.show),
        build_figure("forward-types", forward_types.show),
        build_figure("backward-graph", backward_graph.show),
        build_figure("paged-optimizer", paged_optimizer.show),
        build_figure("checkpointing", checkpointing.show),
        build_figure("merging", merging.show),
        build_figure("kv-cache", kv_cache.show),
        build_figure("rate-schedule", rate_schedule.show),
        build_figure("relatives", relatives.show),
        build_figure("four-bit-formats", four_bit_formats.show),
        build_figure("error-bars", error_bars.show),
        build_figure("split-over-gpus", split_over_gpus.show),
        trained_tokens.build_tokens_figure(models_dir),
        whole_model.build_glance_figure(predict),
        build_figure("full-fine-tuning-state", whole_model.show_full),
        whole_model.build_whole_figure(predict),
    )
    return {figure.id: figure for figure in every}


FIGURES: Figures = build_figures()
