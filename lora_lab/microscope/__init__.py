"""The quantization microscope: one matrix of a model in two schemes, from single weights to held-out loss."""
