"""What a model has and what an adapter trains, exactly, without torch."""
