"""What the app does: turns, generations, prompts, threads as trees, titles, the catalog of models."""
