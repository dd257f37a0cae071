"""The rule that ranks the answers of the nearest entries."""
