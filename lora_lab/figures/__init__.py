"""Live figures by id: each is a small module that maps settings to numbers, and numbers to a picture.

    from lora_lab.figures import FIGURES
    FIGURES["lora-to-scale"].fragment({"rank": "16"})

`build_figures(models_dir)` returns the same figures, with the embedded model's tokenizer for a learner's own
text.
"""

from pathlib import Path

from lora_lab.figures import (
    backward_graph,
    block_size,
    block_steps,
    checkpointing,
    double_quantization,
    error_bars,
    forward_types,
    four_bit_formats,
    kv_cache,
    lora_to_scale,
    merging,
    number_lines,
    paged_optimizer,
    rate_schedule,
    relatives,
    scaling_over_ranks,
    singular_values,
    split_over_gpus,
    trained_tokens,
    training_memory,
    whole_model,
)
from study.figures.figure import Figures


def build_figures(models_dir: Path | None = None) -> Figures:
    """Build all figures, in the order of the concepts they belong to."""
    every = (
        lora_to_scale.FIGURE,
        singular_values.FIGURE,
        scaling_over_ranks.FIGURE,
        number_lines.FIGURE,
        block_steps.FIGURE,
        block_size.FIGURE,
        double_quantization.FIGURE,
        training_memory.FIGURE,
        forward_types.FIGURE,
        backward_graph.FIGURE,
        paged_optimizer.FIGURE,
        checkpointing.FIGURE,
        merging.FIGURE,
        kv_cache.FIGURE,
        rate_schedule.FIGURE,
        relatives.FIGURE,
        four_bit_formats.FIGURE,
        error_bars.FIGURE,
        split_over_gpus.FIGURE,
        trained_tokens.build_figure(models_dir),
        whole_model.glance(),
        whole_model.FULL,
        whole_model.WHOLE,
    )
    return {figure.id: figure for figure in every}


FIGURES: Figures = build_figures()
