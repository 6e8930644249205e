"""Live figures of how adapters change a weight, what they add to a model, and what flows through them."""
