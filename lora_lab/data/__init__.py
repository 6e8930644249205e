"""The data of a run: data sets, tokens, batches, and the lab's folder."""
