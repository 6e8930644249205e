"""What a run starts from: data sets, tokens, batches, the embedded model, the machine, the lab's folder."""
