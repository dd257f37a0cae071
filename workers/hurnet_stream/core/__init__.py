"""Mathematics and types alone: no I/O, no clock, no logging."""
