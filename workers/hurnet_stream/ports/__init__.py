"""What the programs need from the outside world, as Protocols: one file per port.

Adapters implement them (`hurnet_stream.adapters`). Tests use in-memory twins, which pass the same
contract tests.

    record              a Kafka record as it was read, and one that is to be sent
    source              a member of a consumer group reads one topic
    exchange            the same, and the answers commit together with the questions' offsets
    reader              what a record of a topic says
    schemas             the schemas of records, by their ids
    sink                sends records
    atomic_sink         writes records together, and tells later whether they were written
    backfill            writes very many texts, and tells after a crash how far it has come
    courier             sends and hears without waiting, for whoever measures others
    history             reads a topic from its beginning, without a group
    listener            reads a topic from now on, without a group
    entry_store         all entries of all contexts, append-only
    group_progress      the committed offsets of a group, kept beside the entries
    partition_marks     who has which partition in hand, so that a crash leaves a trace
    weights_store       the solver's checkpoint, and the weights and mixes in force
    lease_store         one worker of a role at a time
    request_claims      who writes what a request asks for
    embedder            texts to vectors
    shelf               what a responder keeps on its disk, and finds there again
    generations         which generations there are, and what a second one is filled with
    slices              processes that hold part of the entries each, and how they are asked
    tracing             records which programs worked on a message, and for how long

Every method may raise `TransientError` (try again later) and `ConfigurationError` (a person must act). Other
errors are named where they can occur. A call that blocks returns within its time-out or raises.
"""

from hurnet_stream.ports.atomic_sink import AtomicSink, Found
from hurnet_stream.ports.backfill import Backfill, Texts
from hurnet_stream.ports.courier import Acknowledged, Courier, News, Replied, Undelivered
from hurnet_stream.ports.embedder import Embedder
from hurnet_stream.ports.entry_store import (
    BEHIND,
    Appended,
    EntryStore,
    Holding,
    Refused,
    StoreServer,
    Tail,
    Unfinished,
    check_not_passed,
    deleted_by,
)
from hurnet_stream.ports.exchange import Exchange, ForwardingExchange, RollBack
from hurnet_stream.ports.generations import (
    FORWARDED,
    CopyNotes,
    ForwardNotes,
    GenerationsStore,
    Presence,
    ResponderPresence,
)
from hurnet_stream.ports.group_progress import GroupProgress
from hurnet_stream.ports.history import History
from hurnet_stream.ports.lease_store import LeaseStore
from hurnet_stream.ports.listener import Listener
from hurnet_stream.ports.partition_marks import PartitionMarks
from hurnet_stream.ports.partition_offsets import Committed, EndOffsets, OffsetRange
from hurnet_stream.ports.reader import Read, Reader, Readers, Taught
from hurnet_stream.ports.record import CORRELATION_ID, REPLY_TO, Fault, Headers, Outgoing, Record
from hurnet_stream.ports.request_claims import Claim, RequestClaims, Standing
from hurnet_stream.ports.schemas import ProtoCompiler, Schema, SchemaKind, Schemas
from hurnet_stream.ports.shelf import SavedShelf
from hurnet_stream.ports.sink import Sink
from hurnet_stream.ports.slices import (
    NoReply,
    SliceCall,
    SliceCalls,
    SliceDoor,
    SliceHolding,
    SliceMember,
    SliceMembers,
)
from hurnet_stream.ports.source import POLL_BYTES, Polled, Source
from hurnet_stream.ports.tracing import (
    TRACEPARENT,
    Interval,
    Span,
    TraceContext,
    Tracer,
    Work,
    new_trace,
    parse_traceparent,
)
from hurnet_stream.ports.weights_store import (
    MIXES_KEPT,
    Checkpoint,
    DeletionAudit,
    OnProgress,
    PublishedMix,
    PublishedWeights,
    WeightsStore,
    forgetful,
    oldest_audits,
)

__all__ = [
    "BEHIND",
    "CORRELATION_ID",
    "FORWARDED",
    "MIXES_KEPT",
    "POLL_BYTES",
    "REPLY_TO",
    "TRACEPARENT",
    "Acknowledged",
    "Appended",
    "AtomicSink",
    "Backfill",
    "Checkpoint",
    "Claim",
    "Committed",
    "CopyNotes",
    "Courier",
    "DeletionAudit",
    "Embedder",
    "EndOffsets",
    "EntryStore",
    "Exchange",
    "Fault",
    "ForwardNotes",
    "ForwardingExchange",
    "Found",
    "GenerationsStore",
    "GroupProgress",
    "Headers",
    "History",
    "Holding",
    "Interval",
    "LeaseStore",
    "Listener",
    "News",
    "NoReply",
    "OffsetRange",
    "OnProgress",
    "Outgoing",
    "PartitionMarks",
    "Polled",
    "Presence",
    "ProtoCompiler",
    "PublishedMix",
    "PublishedWeights",
    "Read",
    "Reader",
    "Readers",
    "Record",
    "Refused",
    "Replied",
    "RequestClaims",
    "ResponderPresence",
    "RollBack",
    "SavedShelf",
    "Schema",
    "SchemaKind",
    "Schemas",
    "Sink",
    "SliceCall",
    "SliceCalls",
    "SliceDoor",
    "SliceHolding",
    "SliceMember",
    "SliceMembers",
    "Source",
    "Span",
    "Standing",
    "StoreServer",
    "Tail",
    "Taught",
    "Texts",
    "TraceContext",
    "Tracer",
    "Undelivered",
    "Unfinished",
    "WeightsStore",
    "Work",
    "check_not_passed",
    "deleted_by",
    "forgetful",
    "new_trace",
    "oldest_audits",
    "parse_traceparent",
]
