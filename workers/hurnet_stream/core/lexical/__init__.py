"""Which entries share the question's words, and how rare these are."""
