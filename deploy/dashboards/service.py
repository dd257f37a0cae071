"""Service: does it keep its promises, and if not, which part? The one to open first.

Read from the top: a green first line means that all is well. If it is not, the second row says which promise
is broken, and the third which step is behind.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.dashboards import panels as p
from deploy.dashboards.panels import Look, Query, above, below
from deploy.dashboards.runbooks import good_within_s, limit_s, markdown

FRESH_S, QUICK_S = good_within_s("freshness"), good_within_s("latency")
OUTCOMES = (
    ("ok", "green"), ("answered", "green"), ("abstained", "blue"), ("timed-out", "orange"),
    ("rejected", "purple"), ("wrong", "red"), ("no-reply", "dark-red"), ("produce-failed", "yellow"),
)  # fmt: skip
STEPS = (
    ("texts to take in", 'sum(hurnet_kafka_lag_records{job="hurnet-ingest"})'),
    ("rows to fold in", 'sum(max by (partition) (hurnet_lag_rows{job="hurnet-solver"}))'),
    ("rows to make searchable", 'sum(max by (partition) (hurnet_lag_rows{job="hurnet-responder"}))'),
    ("questions to answer", 'sum(hurnet_kafka_lag_records{job="hurnet-responder"})'),
)


def dashboard() -> Dashboard:
    """All panels."""
    made = p.dashboard(
        "hurnet-service", "hurnet: Service", "Does it keep its promises, and if not, which part?"
    )
    _is_all_well(made.with_row(Row("Is all well?")))
    _promises(made.with_row(Row("Which promise is broken?")))
    _where(made.with_row(Row("Where is it? Texts go from Kafka to ingest, solver and responders")))
    _what_runs(made.with_row(Row("What is wrong, and what runs")))
    return made


def _is_all_well(made: Dashboard) -> None:
    made.with_panel(p.figures(
        "Alerts", "Alerts that fire now. Normal is none. The table below names them.",
        Look("none", above(None, 1), width=5, height=5),
        Query('count(ALERTS{alertname=~"Hurnet.+", alertstate="firing"}) or vector(0)', "alerts that fire"),
        zero="none",
    )).with_panel(p.figures(
        "Budget left of 30 days",
        "What is left of the failures that each promise allows in 30 days. Normal is above a half. Below 0"
        " the promise is broken. A promise without events yet is missing.",
        Look("percentunit", below(0.5, 0), width=9, height=5, decimals=0),
        Query("hurnet:slo_budget_left:ratio", "{{slo}}"), runbook="HurnetAnswersSlowBurn",
    )).with_panel(p.figures(
        "Workers that are ready",
        "Workers whose /readyz says yes, by role. Normal is as many as you run. A solver that stands by is"
        " ready, too.",
        Look("none", below(None, 1), width=7, height=5),
        Query('label_replace(sum by (job) (hurnet_ready), "role", "$1", "job", "hurnet-(.+)")', "{{role}}"),
        runbook="HurnetRoleNotReady",
    )).with_panel(p.figures(
        "Since the last probe",
        "Seconds since the canary's last probe ended, whatever came of it. Normal is some seconds. If it"
        " grows, nobody measures what stands here.",
        Look("s", above(60, limit_s("silence")), width=3, height=5, decimals=0),
        Query("time() - max(hurnet_canary_last_probe_timestamp_seconds)", "ago"),
        runbook="HurnetCanarySilent",
    ))  # fmt: skip


def _promises(made: Dashboard) -> None:
    outcome = p.or_none(
        "60 * sum by (outcome) (rate(hurnet_canary_probes_total[$__rate_interval]))", "outcome"
    )
    made.with_panel(p.lines(
        "The canary's probes a minute, by outcome",
        "A probe sends a text and asks for it. Normal is ok alone. no-reply: no responder answers."
        " timed-out: new texts don't get through. wrong: the answer is not what was taught.",
        Look("none", width=6, stacked=True, colours=OUTCOMES), Query(outcome, "{{outcome}}"),
        runbook="HurnetAnswersFastBurn",
    )).with_panel(p.lines(
        "Freshness: from a text to its answer",
        "Seconds from sending a text to being answered with it, by the canary's clock, and for all texts by"
        f" their own timestamps. Normal is a p99 below 0.25 s; the promise is {FRESH_S:g} s.",
        Look("s", above(0.25, FRESH_S), width=6),
        *p.quantiles("hurnet_canary_freshness_seconds", legend="canary"),
        *p.quantiles("hurnet_freshness_seconds", legend="texts")[1:],
        runbook="HurnetFreshnessFastBurn",
    )).with_panel(p.lines(
        "Latency: age of questions when answered",
        "Seconds from a question's timestamp to the delivery of its answer, the time in Kafka included."
        f" Normal is a p99 below 0.1 s; the promise is {QUICK_S:g} s. Those that ask for texts"
        " to come (timed-out) do not count.",
        Look("s", above(0.1, QUICK_S), width=6),
        *p.quantiles("hurnet_query_age_seconds", where='{outcome=~"answered|abstained"}', exemplar=True),
        runbook="HurnetLatencyBurn",
    )).with_panel(p.lines(
        "Burn rate of the last hour",
        "How many times as fast as allowed the budget is used. Normal is below 1. At 6 it is gone in 5"
        " days, at 14.4 in 2, and somebody is woken.",
        Look("none", above(6, 14.4), width=6), Query("hurnet:slo_burn:rate1h", "{{slo}}"),
        runbook="HurnetFreshnessSlowBurn",
    ))  # fmt: skip


def _where(made: Dashboard) -> None:
    made.with_panel(p.rows_of(
        "How far each partition is",
        "What each partition of texts has still to do, step by step: the first column that is not 0 is the"
        " part that is behind. Normal is 0, and a few while texts come.",
        Look("none", above(100, 1000), width=8, height=9),
        Query('sum by (partition) (hurnet_kafka_lag_records{job="hurnet-ingest"})'),
        Query('max by (partition) (hurnet_lag_rows{job="hurnet-solver"})'),
        Query('max by (partition) (hurnet_lag_rows{job="hurnet-responder"})'),
        columns=(
            ("partition", "partition"),
            ("Value #A", "in Kafka, not appended"),
            ("Value #B", "appended, not folded"),
            ("Value #C", "appended, not searchable"),
        ),
        runbook="HurnetFallingBehind",
    )).with_panel(p.figures(
        "Canary, by partition",
        "1: the last probe through this partition was answered as it should be. Normal is 1 everywhere.",
        Look("none", below(None, 1), width=4, height=9),
        Query("min by (partition) (hurnet_canary_partition_well)", "{{partition}}"),
        runbook="HurnetAnswersFastBurn",
    )).with_panel(p.lines(
        "What waits at each step",
        "Records in Kafka and rows in the store that a step has still to do. Normal is near 0. The step"
        " whose line rises is the one that is too slow.",
        Look("short", above(None, 1000), width=6, height=9),
        *(Query(expr, name) for name, expr in STEPS), runbook="HurnetFallingBehind",
    )).with_panel(p.lines(
        "Questions a second, by outcome",
        "Replies a second. abstained: no answer was sure enough. timed-out: it asked for texts that did not"
        " come in time.",
        Look("reqps", width=6, height=9, stacked=True, colours=OUTCOMES),
        Query(
            p.or_none("sum by (outcome) (rate(hurnet_queries_total[$__rate_interval]))", "outcome"),
            "{{outcome}}",
        ),
        runbook="HurnetAnswersRolledBack",
    ))  # fmt: skip


def _what_runs(made: Dashboard) -> None:
    made.with_panel(p.rows_of(
        "Alerts, pending or firing",
        "Normal is none. Pending: true, but not yet for long enough to tell somebody.",
        Look("none", width=9, height=9), Query('ALERTS{alertname=~"Hurnet.+"}'),
        columns=(
            ("alertname", "alert"), ("alertstate", "state"), ("severity", "severity"), ("cause", "cause"),
            ("job", "job"), ("instance", "instance"),
        ),
    )).with_panel(p.rows_of(
        "What runs", "Version, embedder and search of each worker. Normal is one version, and one embedder.",
        Look("none", width=8, height=9), Query("hurnet_build_info"),
        columns=(
            ("role", "role"), ("instance", "instance"), ("version", "version"), ("embedder", "embedder"),
            ("searched_by", "searched by"),
        ),
        runbook="HurnetWorkerStuck",
    )).with_panel(p.words(
        "Runbooks", "What to do about each alert.", markdown(), Look("none", width=7, height=9)
    ))  # fmt: skip
