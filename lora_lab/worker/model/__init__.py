"""Loading: shapes, module trees, quantized weights."""
