"""Live figures by id: each is a small module that maps settings to numbers, and numbers to a picture.

    from lora_lab.figures import FIGURES
    FIGURES["lora-to-scale"].fragment({"rank": "16"})

`build_figures(models_dir)` returns the same figures, with the embedded model's tokenizer for a learner's own
text.
"""

from pathlib import Path

from lora_lab.figures.adapters import (
    backward_graph,
    forward_types,
    lora_to_scale,
    merging,
    relatives,
    scaling_over_ranks,
    singular_values,
    whole_model,
)
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
        whole_model.build_glance_figure(),
        whole_model.FULL,
        whole_model.build_whole_figure(),
    )
    return {figure.id: figure for figure in every}


FIGURES: Figures = build_figures()
