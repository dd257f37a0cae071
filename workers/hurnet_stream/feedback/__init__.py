"""The feedback worker: verdicts on answers become texts, which are taught like any other."""
