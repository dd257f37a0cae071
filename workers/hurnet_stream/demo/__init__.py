"""The demo: real texts stream through a whole system on this machine, then it is asked about them.

Only `hurnet demo` imports this package. It is in the wheel so that everyone who installs hurnet with pip can
run it.
"""
