"""Store and solver: what Redis holds, what the solver has learned, and what is deleted."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.dashboards import panels as p
from deploy.dashboards.panels import Look, Query, above, below
from deploy.dashboards.runbooks import limit_s

JOB = '{job="hurnet-solver"}'
RESPONDER = '{job="hurnet-responder"}'


def dashboard() -> Dashboard:
    """All panels."""
    made = p.dashboard(
        "hurnet-store", "hurnet: Store and solver", "What is kept, what is learned, what is deleted."
    )
    _store(made.with_row(Row("The store")))
    _solver(made.with_row(Row("The solver")))
    _weights(made.with_row(Row("Weights")))
    _deletions(made.with_row(Row("Deletions")))
    _kafka(made.with_row(Row("Kafka, as workers see it")))
    return made


def _store(made: Dashboard) -> None:
    failed = 'sum by (op, outcome) (rate(hurnet_store_seconds_count{outcome!="ok"}[$__rate_interval]))'
    made.with_panel(p.lines(
        "Memory",
        "What the server uses, and its maxmemory, if there is one. At the limit no text is taken in any"
        " more.",
        Look("bytes"), Query("max(hurnet_store_memory_bytes)", "used"),
        Query(
            "max(hurnet_store_memory_max_bytes) > 0 or max(hurnet_store_memory_bytes)",
            "most",
        ),
        runbook="HurnetStoreAtRisk",
    )).with_panel(p.figures(
        "On disk",
        "1 if the server's last write of its file went well. Normal is 1: with 0 it may lose what it has.",
        Look("none", below(None, 1), width=4),
        Query("min(hurnet_store_saved)", "saved"), runbook="HurnetStoreAtRisk",
    )).with_panel(p.figures(
        "Replicas", "Of the primary. Normal is as many as you run; 0 is a single server.",
        Look("none", width=4), Query("max(hurnet_store_replicas)", "replicas"), runbook="HurnetStoreAtRisk",
    )).with_panel(p.lines(
        "Calls that failed or were refused, a second", "Refused: another worker was quicker. Normal is none.",
        Look("cps", above(0.1, 1)),
        Query(p.or_none(failed, "op"), "{{op}} {{outcome}}"), runbook="HurnetRoleNotReady",
    )).with_panel(p.lines(
        "Seconds of calls, p99",
        "Of all roles, by what the call does, without those that wait for something new (tail).",
        Look("s", above(0.1, 1), width=12),
        Query(p.p99("hurnet_store_seconds", "op", '{op!="tail"}'), "{{op}}"),
    )).with_panel(p.lines(
        "Calls a second", "Of all roles, by what the call does.", Look("ops", width=12),
        Query("sum by (op) (rate(hurnet_store_seconds_count[$__rate_interval]))", "{{op}}"),
    ))  # fmt: skip


def _solver(made: Dashboard) -> None:
    made.with_panel(p.figures(
        "Leads", "Solvers that lead. Normal is 1: with 0 nothing is learned or erased.",
        Look("none", below(None, 1), width=4),
        Query("sum(hurnet_leader)", "leads"), runbook="HurnetRoleNotReady",
    )).with_panel(p.figures(
        "Checkpoint",
        "Seconds since all that is folded in was last saved. Normal is below"
        " HURNET_SOLVE_CHECKPOINT_INTERVAL and the time of a save.",
        Look("s", above(120, 900), width=4, decimals=0),
        Query("time() - max(hurnet_checkpoint_timestamp_seconds)", "ago"), runbook="HurnetDeletionOverdue",
    )).with_panel(p.lines(
        "Seconds to solve and to save",
        "One solve of one context, and one checkpoint.", Look("s", above(10, 60)),
        *p.quantiles("hurnet_solve_seconds", legend="solve"),
        *p.quantiles("hurnet_checkpoint_seconds", legend="save"),
    )).with_panel(p.lines(
        "Rows to fold in, by partition", "Normal is near 0.", Look("short", above(None, 1000)),
        Query(f"max by (partition) (hurnet_lag_rows{JOB})", "{{partition}}"), runbook="HurnetFallingBehind",
    )).with_panel(p.lines(
        "Phases of a turn",
        "Seconds of each second that solvers spend in each phase. Mostly tail means that they wait for rows.",
        Look("none", stacked=True),
        p.phases(JOB),
    )).with_panel(p.lines(
        "Pairs learned, by context", "Each as often as its weight says.",
        Look("short"), Query(f"max by (context) (hurnet_context_rows{JOB})", "{{context}}"),
    )).with_panel(p.lines(
        "Resident memory", "Bytes of each solver.",
        Look("bytes"), Query(f"process_resident_memory_bytes{JOB}", "{{instance}}"),
    ))  # fmt: skip


def _weights(made: Dashboard) -> None:
    newest = f"max by (context) (hurnet_weights_version{JOB})"
    made.with_panel(p.lines(
        "Age of weights in force, by context",
        "Seconds since they were published. It grows while no new pairs come. While pairs do come it should"
        " stay below a minute.",
        Look("s", above(None, limit_s("weights"))),
        Query(
            f"time() - max by (context) (hurnet_weights_published_timestamp_seconds{RESPONDER})",
            "{{context}}",
        ),
        runbook="HurnetWeightsStale",
    )).with_panel(p.lines(
        "Versions that responders lack",
        "The solver's newest version less that of the slowest responder. Normal is 0 or 1.",
        Look("none", above(2, 10)),
        Query(
            f"clamp_min({newest} - min by (context) (hurnet_weights_version{RESPONDER}), 0)",
            "{{context}}",
        ),
        runbook="HurnetWeightsStale",
    )).with_panel(p.lines(
        "Weights refused in half an hour",
        "They were not good enough, and the last ones stay in force. Normal is none.",
        Look("none", above(1, 3)),
        Query(
            p.or_none("sum by (context) (increase(hurnet_weights_refused_total[30m]))", "context"),
            "{{context}}",
        ),
        runbook="HurnetWeightsStale",
    )).with_panel(p.lines(
        "Residual",
        "Share of the targets that the weights do not reproduce. A sudden rise means that the new pairs"
        " contradict the old ones.",
        Look("percentunit", highest=1),
        Query('max by (context) (hurnet_certificate{figure="residual"})', "{{context}}"),
    )).with_panel(p.lines(
        "Condition",
        "Condition number of the system that was solved. Above a million, pairs are nearly copies of each"
        " other.",
        Look("short", above(None, 1e6)),
        Query('max by (context) (hurnet_certificate{figure="condition"})', "{{context}}"),
    )).with_panel(p.lines(
        "Directions that pairs use", "The effective rank. It grows with the variety of what is taught.",
        Look("short"), Query('max by (context) (hurnet_certificate{figure="effective_rank"})', "{{context}}"),
    ))  # fmt: skip


def _deletions(made: Dashboard) -> None:
    made.with_panel(p.lines(
        "Rows to erase, by partition",
        "Deleted, and their bytes still in the store. Nobody is answered from them. Normal is 0, and some"
        " until the next checkpoint.",
        Look("short", above(None, 10_000)),
        Query(
            "max by (partition) (hurnet_deletions_pending)",
            "{{partition}}",
        ),
        runbook="HurnetDeletionOverdue",
    )).with_panel(p.lines(
        "Oldest deletion that is not finished",
        "Seconds since it was asked for. 0 if there is none. Normal is below a minute.",
        Look("s", above(300, limit_s("deletion"))),
        Query(
            "time() - min(hurnet_oldest_deletion_timestamp_seconds) or vector(0)",
            "oldest",
        ),
        runbook="HurnetDeletionOverdue",
    )).with_panel(p.lines(
        "Deletions, and pairs unlearned, a second",
        "Deletions that ingest appended, and pairs that the solver took out again.",
        Look("cps"), Query("sum(rate(hurnet_deletions_total[$__rate_interval]))", "deletions"),
        Query("sum(rate(hurnet_unlearned_pairs_total[$__rate_interval])) or vector(0)", "pairs"),
    )).with_panel(p.lines(
        "The canary's deletions in two hours, by outcome",
        "Normal is ok alone. still-there breaks a promise.",
        Look("none", stacked=True, colours=(("ok", "green"), ("still-there", "red"), ("failed", "orange"))),
        Query(
            p.or_none("sum by (outcome) (increase(hurnet_canary_deletions_total[2h]))", "outcome"),
            "{{outcome}}",
        ),
        runbook="HurnetDeletionOverdue",
    )).with_panel(p.lines(
        "Seconds until a deleted text is no answer",
        "By the canary. Normal is below a second.", Look("s", above(1, 60)),
        Query(
            "histogram_quantile(0.99, sum by (le) (rate(hurnet_canary_deletion_seconds_bucket[2h])))",
            "p99",
        ),
        runbook="HurnetDeletionOverdue",
    )).with_panel(p.lines(
        "Offsets that the canary read again, in two hours",
        "Topic and store were compared there. Normal is ok alone. different: a text was lost, altered or"
        " invented.",
        Look("short", stacked=True, colours=(("ok", "green"), ("different", "red"), ("unproved", "orange"))),
        Query(
            p.or_none("sum by (outcome) (increase(hurnet_canary_verified_offsets_total[2h]))", "outcome"),
            "{{outcome}}",
        ),
        runbook="HurnetTextsLost",
    ))  # fmt: skip


def _kafka(made: Dashboard) -> None:
    errors = "sum by (dependency) (rate(hurnet_transient_errors_total[$__rate_interval]))"
    held = "sum by (topic) (hurnet_held_records)"
    made.with_panel(p.lines(
        "Seconds to deliver and to commit, p99",
        "A delivery is a transaction with its answers; ingest commits what is in the store. Normal is below"
        " 0.1 s. If all rise together, the brokers are slow.",
        Look("s", above(0.2, 2)),
        Query(p.p99("hurnet_turn_seconds", "job, phase", '{phase=~"deliver|commit"}'), "{{job}} {{phase}}"),
        runbook="HurnetAnswersRolledBack",
    )).with_panel(p.lines(
        "Turns tried again, a second, by server",
        "Of all workers, by the server that failed. Normal is none, and a few at a failover.",
        Look("cps", above(0.1, 1)),
        Query(p.or_none(errors, "dependency"), "{{dependency}}"), runbook="HurnetRoleNotReady",
    )).with_panel(p.lines(
        "Records held back by open transactions, by topic",
        "Normal is 0, or a few for a moment. A line that stays is a producer that died in a transaction.",
        Look("short", above(None, 100)),
        Query(p.or_none(held, "topic"), "{{topic}}"), runbook="HurnetFallingBehind",
    ))  # fmt: skip
