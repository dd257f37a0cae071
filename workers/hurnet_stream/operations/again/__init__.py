"""Asking again: the answer of a receipt, from the entries, weights and mix that it names.

asked       the question and the reply that was given        from Kafka, or from a line of JSON
past        the context as the responder held it             entries up to the receipt's watermarks
forgotten   what became of entries that are gone since       from audits, and from what replaced them
versions    the weights and the mix of the receipt           those in force, or solved again
asking      the question put again                           by the responder's own code
again       all of it together, as of then
today       the same as of now, and what changed since
comparing   then and now, field by field, and why
"""
