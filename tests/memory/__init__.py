"""In-memory twins of the adapters: the contract tests hold both to the same promises."""
