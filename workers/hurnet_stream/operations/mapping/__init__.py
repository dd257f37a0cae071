"""`hurnet map`: from a sample of a topic's records to the table that would read it, with a reason for each
line.

    records ─ form ─▶ values ─ fields ─▶ columns ─ choosing ─▶ candidates ─ trying ─▶ accuracy, takings ─▶
    proposal

    forms.py      which format and which envelope        names.py      what a field's name hints at
    looks.py      what a value looks like                choosing.py   which field is the text, which the
    answer fields.py     all values of one field, in figures    others.py     key, context, time, metadata
    trying.py     leave-one-out accuracy, and what is taken and rejected proposal.py   the table as TOML
    survey.py     all of it, one after the other

Nothing here reads a topic or writes one: records come in, and a `Survey` comes out.
"""
