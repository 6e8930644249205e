"""A training step of a published framework, played with symbolic tensors: which bytes live when."""
