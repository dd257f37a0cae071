"""Folders on this machine, in which responders keep what is large, and save their indexes."""

from hurnet_stream.adapters.shelf.folder import FolderShelf
from hurnet_stream.adapters.shelf.opening import open_shelf, remove_other_counts

__all__ = ["FolderShelf", "open_shelf", "remove_other_counts"]
