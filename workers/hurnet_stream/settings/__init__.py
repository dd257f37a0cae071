"""Settings: one file for each group, put together and read in `settings`, checked together in `checks`.

Hurnet has about 70. `listing` says of each what is in force, where that is from, and what it means.
"""
