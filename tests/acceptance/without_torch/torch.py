"""Stands before the real torch in the path of the tests' workers: they run as if it were not installed.

So most installations run, and a solver starts in half of the time: loading torch takes two seconds.
"""

raise ModuleNotFoundError("No module named 'torch'", name="torch")
