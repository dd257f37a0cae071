"""What goes wrong with processes on this machine."""

from hurnet_stream.errors import ConfigurationError, HurnetError


class ServerError(ConfigurationError):
    """A local server could not be installed, started or reached; the message says what to do."""


class FolderInUse(ServerError):
    """Another process has the folder."""


class ProcessDied(HurnetError):
    """A process that we started ended by itself, or never got ready."""
