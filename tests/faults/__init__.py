"""What Parley must survive: faults injected into the real program, and a checker that compares what is left."""
