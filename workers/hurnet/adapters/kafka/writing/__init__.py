"""Producers, and which message or topic a refusal is about."""
