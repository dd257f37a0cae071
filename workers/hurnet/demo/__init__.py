"""The demo: real texts through a whole system on this machine, then questions."""
