"""Ingest: from Kafka's `texts` to the store."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.dashboards import panels as p
from deploy.dashboards.panels import Look, Query, above, below
from deploy.dashboards.runbooks import limit_s

JOB = '{job="hurnet-ingest"}'


def dashboard() -> Dashboard:
    """All panels."""
    made = p.dashboard("hurnet-ingest", "hurnet: Ingest", "From Kafka's texts to the store.")
    _flow(made.with_row(Row("How much flows, and how much waits")))
    _time(made.with_row(Row("Where the time goes")))
    _bad(made.with_row(Row("What is put aside, skipped, or tried again")))
    _readers(made.with_row(Row("Readers of Kafka")))
    return made


def _flow(made: Dashboard) -> None:
    made.with_panel(p.lines(
        "Texts a second",
        "Records read, rows appended, deletions. Rows follow records; a gap is dead letters.",
        Look("short"),
        Query(f"sum(rate(hurnet_records_total{JOB}[$__rate_interval]))", "records read"),
        Query("sum(rate(hurnet_rows_total[$__rate_interval]))", "rows appended"),
        Query("sum(rate(hurnet_deletions_total[$__rate_interval]))", "deletions"),
    )).with_panel(p.lines(
        "Records in Kafka that wait, by partition",
        "By the brokers' own ends. Normal is near 0. If one partition grows alone, its worker is stuck; if"
        " all do, there are too few workers.",
        Look("short", above(None, 1000)),
        Query(
            f"sum by (topic, partition) (hurnet_kafka_lag_records{JOB})",
            "{{topic}}/{{partition}}",
        ),
        runbook="HurnetFallingBehind",
    )).with_panel(p.lines(
        "Seconds to catch up",
        "How long what waits would take at the pace of the last minutes. Normal is below a few seconds."
        " Nothing is drawn while it stands still with records before it.",
        Look("s", above(60, limit_s("catch-up"))),
        Query(
            'hurnet:catch_up:seconds < +Inf',
            "{{job}}",
        ),
        runbook="HurnetFallingBehind",
    )).with_panel(p.lines(
        "Bytes a second", "Bytes of the values of records read from Kafka.",
        Look("Bps"), Query(f"sum(rate(hurnet_bytes_total{JOB}[$__rate_interval]))", "read"),
    )).with_panel(p.lines(
        "Records held back",
        "Records that can't be read yet because a transaction before them is open. Normal is 0, or a few"
        " for a moment. A line that stays is a producer that died in a transaction.",
        Look("short", above(None, 100)),
        Query(
            p.or_none(f"sum by (topic, partition) (hurnet_held_records{JOB})", "topic"),
            "{{topic}}/{{partition}}",
        ),
    )).with_panel(p.lines(
        "Contexts",
        "Contexts that there are. `HURNET_INGEST_MAX_CONTEXTS` is the most; texts of others become dead"
        " letters.",
        Look("none"), Query("max(hurnet_contexts)", "contexts"),
    ))  # fmt: skip


def _time(made: Dashboard) -> None:
    made.with_panel(p.lines(
        "Phases of a turn",
        "Seconds of each second that workers spend in each phase, all workers together. Mostly poll means"
        " that they wait for texts; mostly embed, that more workers would help.",
        Look("none", stacked=True),
        p.phases(JOB),
    )).with_panel(p.lines(
        "Seconds to embed and to append",
        "To turn the texts of one poll into vectors, and to append one batch.",
        Look("s", above(0.5, 5)),
        *p.quantiles("hurnet_embed_seconds", legend="embed"),
        *p.quantiles("hurnet_append_seconds", legend="append"),
        runbook="HurnetFreshnessSlowBurn",
    )).with_panel(p.lines(
        "Seconds of calls of the store, p99", "By what the call does. Normal is below 0.05 s.",
        Look("s", above(0.1, 1)),
        Query(
            p.p99("hurnet_store_seconds", "op", JOB),
            "{{op}}",
        ),
    ))  # fmt: skip


def _bad(made: Dashboard) -> None:
    dead = f"sum by (reason) (rate(hurnet_dead_letters_total{JOB}[$__rate_interval]))"
    failed = f"sum by (dependency, kind) (rate(hurnet_transient_errors_total{JOB}[$__rate_interval]))"
    made.with_panel(p.lines(
        "Dead letters a second, by reason", "Normal is none. `hurnet dead-letters` shows them, and why.",
        Look("cps", above(0.1, 1), stacked=True),
        Query(p.or_none(dead, "reason"), "{{reason}}"), runbook="HurnetDeadLetters",
    )).with_panel(p.lines(
        "Turns that were tried again, a second",
        "By the server that failed. Normal is none, and a few at a failover.",
        Look("cps", above(0.1, 1)), Query(p.or_none(failed, "dependency"), "{{dependency}} {{kind}}"),
        runbook="HurnetRoleNotReady",
    )).with_panel(p.figures(
        "In the last hour",
        "Appends that the store refused: more than a few means that two workers have one partition. Offsets"
        " skipped: texts that were gone from Kafka. Alarm: some producer sends mostly bad records.",
        Look("none", above(1, 100)),
        Query("sum(increase(hurnet_appends_refused_total[1h]))", "appends refused"),
        Query("sum(increase(hurnet_skipped_offsets_total[1h]))", "offsets skipped"),
        Query("max(hurnet_dead_letters_alarm)", "alarm"), runbook="HurnetTextsLost",
    ))  # fmt: skip


def _readers(made: Dashboard) -> None:
    headroom = "min by (topic) (hurnet_retention_headroom_ratio)"
    made.with_panel(p.lines(
        "Partitions of each worker", "Each partition belongs to one worker. Workers without one are spare.",
        Look("none", stacked=True), Query(f"hurnet_partitions_assigned{JOB}", "{{instance}}"),
    )).with_panel(p.lines(
        "Rebalances in ten minutes",
        "Times that the group shared out its partitions. Normal is none but when workers come or go.",
        Look("none", above(None, 10)),
        Query(
            "sum by (job) (increase(hurnet_rebalances_total[10m]))",
            "{{job}}",
        ),
    )).with_panel(p.lines(
        "Retention that is left",
        "How much of the retention is left before what must be read next is dropped, the worst partition of"
        " each topic. 100 % is normal, also if nothing is ever dropped.",
        Look("percentunit", below(0.5, 0.2), highest=1),
        Query(
            p.or_none(headroom, "topic", 1, "nothing is dropped"),
            "{{topic}}",
        ),
        runbook="HurnetRetentionShort",
    )).with_panel(p.lines(
        "Resident memory", "Bytes of each worker. Normal is flat.",
        Look("bytes"), Query(f"process_resident_memory_bytes{JOB}", "{{instance}}"),
    )).with_panel(p.lines(
        "Processor", "Seconds of processor time a second. 1 is all of a core: add a worker.",
        Look("none", above(0.9)),
        Query(f"rate(process_cpu_seconds_total{JOB}[$__rate_interval])", "{{instance}}"),
    )).with_panel(p.lines(
        "Offset appended, by partition", "The watermark of each shard. It rises while texts come.",
        Look("short", lowest=None),
        Query(
            f"max by (partition) (hurnet_watermark_offset{JOB})",
            "{{partition}}",
        ),
    ))  # fmt: skip
