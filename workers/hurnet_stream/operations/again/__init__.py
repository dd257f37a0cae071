"""Asking again: the answer of a receipt, from the entries, weights and mix that it names.

asked       the question and the reply that was given        from Kafka, or from a line of JSON
past        the context as the responder held it             entries up to the receipt's watermarks
versions    the weights and the mix of the receipt           those in force, or solved again
again       all of it together, by the responder's own code
comparing   then and now, field by field, and why
"""
