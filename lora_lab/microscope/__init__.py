"""The quantization microscope: one matrix of a model in two schemes, from weights to held-out loss."""
