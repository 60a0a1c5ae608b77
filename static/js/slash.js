// Slash-prompts in the composer.
