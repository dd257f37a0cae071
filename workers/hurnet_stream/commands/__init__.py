"""One file per command of `hurnet`, importing only click and the standard library at its top, to be quick."""
