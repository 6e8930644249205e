"""The lab: parameter counts, memory, and real fine-tuning runs."""
