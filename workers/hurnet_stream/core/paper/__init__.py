"""Chapters of the paper that the rule does not need: kernel features and lp similarity."""
