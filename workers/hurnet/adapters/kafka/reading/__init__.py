"""Consumers: a member of a group, and reading apart from any group."""
