"""One training step of a published framework, played through with symbolic tensors to see which bytes live when."""
