"""Files of texts as people have them, read by one reader for the command line and for the gateway.

rows        a row: before it is checked, checked, or rejected with what would be right
lines       the lines of a file, in whatever encoding it says that it has
columns     which column is the text, the answer, the key or one of the metadata
text_file   CSV, a JSON object a line, or plain lines
parquet     Parquet files (pyarrow, an extra)
encoded     rows as messages, quickly where it is plain that a row is valid
opened      bytes: local, from an object store or over HTTP, and what they are compressed by
found       what a name on the command line stands for: files, folders, standard input
source      all of these, one row after the other
"""

from hurnet_stream.operations.files.rows import Draft, Reject, Row
from hurnet_stream.operations.files.text_file import Style, TextFile

__all__ = ["Draft", "Reject", "Row", "Style", "TextFile"]
