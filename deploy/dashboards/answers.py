"""Answers: from Kafka's `queries` to `answers`, how quick and how sure."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.dashboards import panels as p
from deploy.dashboards.panels import Look, Query, above, below
from deploy.dashboards.runbooks import good_within_s
from deploy.dashboards.service import OUTCOMES

JOB = '{job="hurnet-responder"}'


def dashboard() -> Dashboard:
    """All panels."""
    made = p.dashboard(
        "hurnet-answers", "hurnet: Answers", "From questions to answers: how quick and how sure."
    )
    _quick(made.with_row(Row("How quick")))
    _waiting(made.with_row(Row("What waits")))
    _sure(made.with_row(Row("How sure, and how right")))
    _undone(made.with_row(Row("What is done again, cut or skipped")))
    _http(made.with_row(Row("Over HTTP")))
    _memory(made.with_row(Row("Memory")))
    _slices(made.with_row(Row("Slices, if there are any")))
    return made


def _quick(made: Dashboard) -> None:
    made.with_panel(p.heat(
        "Age of questions when answered",
        "Seconds from a question's timestamp to its reply, the time in Kafka included. Normal is one bright"
        " band below 0.1 s. A second band higher up is a part that sometimes waits: deliveries done again,"
        " or questions that ask for texts to come.",
        Look("s", width=12), "sum by (le) (increase(hurnet_query_age_seconds_bucket[$__rate_interval]))",
        runbook="HurnetLatencyBurn",
    )).with_panel(p.lines(
        "Age by outcome",
        "What 99 of 100 stay below. Dots are single questions with their trace id, which is in the receipt,"
        " too. timed-out is as long as those questions wanted to wait.",
        Look("s", above(0.1, good_within_s("latency")), width=12, colours=OUTCOMES),
        Query(
            "histogram_quantile(0.99, sum by (le, outcome)"
            " (rate(hurnet_query_age_seconds_bucket[$__rate_interval])))",
            "{{outcome}}", exemplar=True,
        ),
        runbook="HurnetLatencyBurn",
    )).with_panel(p.lines(
        "In the responder",
        "Seconds from reading a question to the delivery of its answer, and to find the answers to one"
        " batch. If the age above is high and these are not, questions wait in Kafka.",
        Look("s", above(0.1, good_within_s("latency"))),
        *p.quantiles("hurnet_answer_seconds", legend="answer", exemplar=True),
        *p.quantiles("hurnet_score_seconds", legend="search"),
    )).with_panel(p.lines(
        "Phases of a turn",
        "Seconds of each second that responders spend in each phase, all together. Mostly poll means that"
        " they wait for questions.",
        Look("none", stacked=True),
        p.phases(JOB),
    )).with_panel(p.lines(
        "Questions a second, by outcome", "Replies a second.", Look("reqps", stacked=True, colours=OUTCOMES),
        Query(
            p.or_none("sum by (outcome) (rate(hurnet_queries_total[$__rate_interval]))", "outcome"),
            "{{outcome}}",
        ),
    ))  # fmt: skip


def _waiting(made: Dashboard) -> None:
    made.with_panel(p.lines(
        "Questions in Kafka, by partition",
        "Normal is near 0. If it grows, there are too few responders, or one is stuck.",
        Look("short", above(None, 1000)),
        Query(
            f"sum by (partition) (hurnet_kafka_lag_records{JOB})",
            "{{partition}}",
        ),
        runbook="HurnetFallingBehind",
    )).with_panel(p.lines(
        "Oldest question without a reply",
        "Seconds since it was asked. Normal is below 0.1 s, or as long as a question that asks for texts to"
        " come wants to wait.",
        Look("s", above(1, 10)),
        Query("max(hurnet_oldest_query_waiting_seconds)", "oldest"), runbook="HurnetLatencyBurn",
    )).with_panel(p.lines(
        "Questions that wait for texts",
        "Those that ask for offsets which are not searchable yet. Normal is a few.",
        Look("none", above(None, 100)),
        Query("sum(hurnet_queries_waiting)", "waiting"), runbook="HurnetFreshnessFastBurn",
    ))  # fmt: skip


def _sure(made: Dashboard) -> None:
    answered = 'sum by (context) (rate(hurnet_scored_queries_total{outcome="answered"}[$__rate_interval]))'
    right = 'sum by (context) (rate(hurnet_verdicts_total{verdict="right"}[1h]))'
    judged = 'sum by (context) (rate(hurnet_verdicts_total{verdict=~"right|wrong"}[1h]))'
    made.with_panel(p.heat(
        "Score of the best candidate",
        "Whether it was given or not. If the band moves, what is asked or what is known has changed.",
        Look("none"), "sum by (le) (increase(hurnet_answer_score_bucket[$__rate_interval]))",
    )).with_panel(p.heat(
        "Probability of the best candidate",
        "By the calibration of its context. Empty until a context has taught enough.",
        Look("none"), "sum by (le) (increase(hurnet_answer_probability_bucket[$__rate_interval]))",
    )).with_panel(p.lines(
        "Accuracy as people judge it, and coverage",
        "Of the answers that people judged, the share that they found right. Of the questions that were"
        " looked into, the share that was answered.",
        Look("percentunit", highest=1), Query(f"{right} / {judged}", "right: {{context}}"),
        Query(
            f"{answered} / sum by (context) (rate(hurnet_scored_queries_total[$__rate_interval]))",
            "answered: {{context}}",
        ),
    )).with_panel(p.lines(
        "Right in rehearsal",
        "Of a context's own pairs, left out one at a time, the share that the others answer rightly, by how"
        " often an answer is taught. If it falls, what is taught lately has other answers for like texts.",
        Look("percentunit", below(0.5, 0.2), highest=1),
        Query("min by (context, kind) (hurnet_rehearsed_right)", "{{context}} {{kind}}"),
    )).with_panel(p.lines(
        "Age of mixes",
        "Seconds since the mix of a context was learned. It grows while nothing new is learned from.",
        Look("s"), Query("time() - max by (context) (hurnet_mix_published_timestamp_seconds)", "{{context}}"),
    ))  # fmt: skip


def _undone(made: Dashboard) -> None:
    failed = f"sum by (dependency, kind) (rate(hurnet_transient_errors_total{JOB}[$__rate_interval]))"
    rolled_back = "sum by (reason) (increase(hurnet_transactions_aborted_total[5m]))"
    made.with_panel(p.lines(
        "Deliveries rolled back, in five minutes",
        "Answers that were made again. Normal is none, and a few at a rebalance or if a broker dies.",
        Look("none", above(1, 10)), Query(p.or_none(rolled_back, "reason"), "{{reason}}"),
        runbook="HurnetAnswersRolledBack",
    )).with_panel(p.lines(
        "Turns tried again, a second",
        "By the server that failed. Normal is none.", Look("cps", above(0.1, 1)),
        Query(
            p.or_none(failed, "dependency"),
            "{{dependency}} {{kind}}",
        ),
        runbook="HurnetRoleNotReady",
    )).with_panel(p.figures(
        "In the last hour",
        "Answers cut: candidates left out because they did not fit. Turns cut: time or room was used up."
        " Rehearsals: pairs that could not be rehearsed. GPUs failed: the CPU searches since. Duplicates:"
        " replies that the canary got twice.",
        Look("none", above(1, 1000)),
        Query("sum(increase(hurnet_answers_cut_total[1h]))", "answers cut"),
        Query("sum(increase(hurnet_turns_cut_total[1h]))", "turns cut"),
        Query("sum(increase(hurnet_rehearsal_failures_total[1h]))", "rehearsals"),
        Query("sum(increase(hurnet_device_failures_total[1h]))", "GPUs failed"),
        Query("sum(increase(hurnet_canary_duplicates_total[1h]))", "duplicates"),
        Query("sum(increase(hurnet_queries_skipped_total[1h])) or vector(0)", "skipped"),
        runbook="HurnetAnsweredTwice",
    ))  # fmt: skip


def _http(made: Dashboard) -> None:
    made.with_panel(p.lines(
        "Requests a second, by status",
        "Of the gateway. 4xx are faults of clients; 503 is too much at once, or Kafka away; 504 is that"
        " nobody replied.",
        Look("reqps", stacked=True),
        Query(
            p.or_none("sum by (status) (rate(hurnet_http_requests_total[$__rate_interval]))", "status"),
            "{{status}}",
        ),
        runbook="HurnetGatewayFailing",
    )).with_panel(p.lines(
        "Seconds of a request",
        "What 99 of 100 stay below. A question takes as long as through Kafka, and some milliseconds.",
        Look("s", above(0.25, 1)),
        Query(
            "histogram_quantile(0.99, sum by (le, route)"
            " (rate(hurnet_http_seconds_bucket[$__rate_interval])))",
            "{{route}}",
        ),
    )).with_panel(p.lines(
        "Refused a second",
        "By what it was refused for. Normal is none; key and right are clients that may not.",
        Look("reqps", stacked=True),
        Query(
            p.or_none("sum by (why) (rate(hurnet_http_refused_total[$__rate_interval]))", "why"),
            "{{why}}",
        ),
        runbook="HurnetGatewayFailing",
    )).with_panel(p.lines(
        "Under way",
        "Questions that wait for their replies, and connections that are open.",
        Look("short"), Query("sum(hurnet_questions_under_way)", "questions"),
        Query("sum(hurnet_http_connections)", "connections"),
    ))  # fmt: skip


def _memory(made: Dashboard) -> None:
    made.with_panel(p.lines(
        "Rows in memory, by context", "Entries that responders hold.",
        Look("short"), Query(f"max by (context) (hurnet_context_rows{JOB})", "{{context}}"),
    )).with_panel(p.lines(
        "Bytes of indexes, by context", "Of one responder.",
        Look("bytes", stacked=True), Query("max by (context) (hurnet_index_bytes)", "{{context}}"),
    )).with_panel(p.lines(
        "Resident memory", "Bytes of each responder.",
        Look("bytes"), Query(f"process_resident_memory_bytes{JOB}", "{{instance}}"),
    ))  # fmt: skip


def _slices(made: Dashboard) -> None:
    made.with_panel(p.lines(
        "Slices away",
        "Slices that no process holds which answers: questions wait for them, or are answered without.",
        Look("short", above(1, 1)), Query("max by (instance) (hurnet_slices_away)", "{{instance}}"),
        runbook="HurnetSliceAway",
    )).with_panel(p.lines(
        "A round of questions to all slices",
        "Seconds until the last slice had answered. If the time in the slices themselves is much shorter, the"
        " network takes it, or slices hold still for others.",
        Look("s"),
        *p.quantiles("hurnet_round_seconds", legend="round"),
        *p.quantiles("hurnet_slice_answer_seconds", legend="in a slice"),
    )).with_panel(p.lines(
        "Conversations with slices",
        "How they ended, a second. moved and away were begun again: moved is usual while many texts come in.",
        Look("ops"),
        Query("sum by (outcome) (rate(hurnet_conversations_total[$__rate_interval]))", "{{outcome}}"),
        Query("sum(rate(hurnet_partial_answers_total[$__rate_interval]))", "partial answers"),
    ))  # fmt: skip
