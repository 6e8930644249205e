"""What is trained on: data sets, tokens, batches, and the lab's folder."""
