"""The demo: real texts stream through a whole system on this machine, then it is asked about them.

Only `hurnet demo` imports this room. It is in the wheel so that whoever installs hurnet with pip can run it.
"""
