"""Small systems over the in-memory adapters, which several test files share: one file a worker."""
