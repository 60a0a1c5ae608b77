"""The real program, a real browser, and a model server that says what a test wants."""
