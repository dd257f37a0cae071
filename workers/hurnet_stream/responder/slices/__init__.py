"""Responders that share the entries out: slices hold them, and coordinators ask all slices (docs/slices.md).

sharing.py        which shard belongs to which slice
wire.py           what is around a request on its way

A slice:
worker.py         the worker: follows the store, answers what it is asked
stillness.py      when it takes entries in, and when it holds still for a conversation
identity.py       its embedder, which only has a name

A coordinator, which is a responder with these in place of entries of its own:
choosing.py       which slices are asked, of those that there are
asking.py         looks where slices are, and asks them
following.py      how far they are
gathered.py       what is in memory of each context: nothing but what slices say
"""
