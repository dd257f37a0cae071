"""The canary: a client of the running system that measures what clients see.

canary      the worker: what is due, what has come, what takes too long
probing     the probes under way; probe: one of them, and what its answer says
cleaning    the texts are deleted again, and deletions are watched
no_loss     topic and store are compared now and then
once_only   no question is answered twice
mail        what is sent, under which keys and names; texts: what the probes say
aside       calls that take long, beside the loop
"""
