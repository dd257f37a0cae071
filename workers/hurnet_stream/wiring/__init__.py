"""The composition root: the only place where workers, adapters and settings are put together.

`builders` and `slicing` make one worker out of its parts, `running` runs it as a process, `pages` is what it
serves over HTTP.
"""
