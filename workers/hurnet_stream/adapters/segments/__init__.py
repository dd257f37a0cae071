"""Sealed rows in files: Arrow files in a folder or an object store.

arrow_file.py     entries as an Arrow file that other programs can read, and pieces of it back
folder.py         files in a folder
object_store.py   files in an object store, by pyarrow
store.py          both together: the port `Segments`
"""

from hurnet_stream.adapters.segments.store import SegmentStore, segments_at

__all__ = ["SegmentStore", "segments_at"]
