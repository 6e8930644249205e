"""Memory estimates for a step in other frameworks on a GPU, for the memory contract and "Will it fit?"."""
