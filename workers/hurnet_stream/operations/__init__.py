"""What a command does beside the running workers: evaluate, verify, repair, read dead letters."""
