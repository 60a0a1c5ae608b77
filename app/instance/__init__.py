"""The instance as its owner runs it: its settings while it runs, and the file that carries them elsewhere."""
