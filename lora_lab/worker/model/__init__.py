"""Model loading: shapes, module trees, quantized weights."""
