"""The outside world behind the ports: one file (or package) per system."""
