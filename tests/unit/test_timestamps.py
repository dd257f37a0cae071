"""Timestamps of any size, and clocks that jump: nothing overflows, and one wrong clock spoils no other."""

import numpy as np
import pytest

from hurnet_stream.core.solve.window import LAST_MS, PANES, Window
from hurnet_stream.core.stored.batch import Deletion
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.places import Places
from hurnet_stream.ports import DeletionAudit
from hurnet_stream.terminal.deleting import described
from hurnet_stream.terminal.screen import moment
from hurnet_stream.visible import below

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
ANY = {
    "zero": 0,
    "none": -1,
    "least": -(2**63),
    "most": 2**63 - 1,
    "seconds": NOW_MS // 1000,
    "microseconds": NOW_MS * 1000,
    "nanoseconds": NOW_MS * 1_000_000,
    "next century": 4_300_000_000_000,
}


@pytest.mark.parametrize("stamp", ANY.values(), ids=ANY)
@pytest.mark.parametrize("half_life_ms", [0, 60_000, HOUR_MS, 86_400_000])
def test_a_window_takes_any_timestamp(stamp: int, half_life_ms: int) -> None:
    window = Window(half_life_ms, Window(half_life_ms).pane(NOW_MS / 1000))
    stamps = np.array([stamp, NOW_MS, *ANY.values()], np.int64)
    with np.errstate(all="raise"):
        shares, recency, panes = window.shares(stamps), window.recency(stamps), window.panes(stamps)
    assert ((shares >= 0) & (shares <= 1)).all()
    assert ((recency >= 2.0**-PANES) & (recency <= 1)).all()
    assert shares[1] == 1
    key = window.key("default", stamp)
    if half_life_ms:
        assert key is None if window.has_expired(int(panes[0])) else key == f"default@{panes[0]}"
    assert window.share(int(panes[0])) == shares[0]


def test_nonsense_shares_one_pane_and_ages_no_other() -> None:
    window = Window(HOUR_MS, Window(HOUR_MS).pane(NOW_MS / 1000))
    nonsense = [LAST_MS, NOW_MS * 1000, NOW_MS * 1001, 2**63 - 1]
    assert len({window.key("default", stamp) for stamp in nonsense}) == 1
    sane = [NOW_MS, NOW_MS - HOUR_MS, NOW_MS - 2 * HOUR_MS]
    assert window.recency(np.array(sane + nonsense))[:3].tolist() == [1.0, 0.5, 0.25]


def test_freshness_is_measured_only_where_a_timestamp_tells_it() -> None:
    metrics = ResponderMetrics()
    metrics.observe_freshness([NOW_MS - 250, NOW_MS + 10, *ANY.values()], NOW_MS / 1000)
    text = metrics.exposition().decode()
    assert "hurnet_freshness_seconds_count 2.0" in text
    assert 'hurnet_freshness_seconds_bucket{le="0.25"} 2.0' in text
    assert f"hurnet_freshness_unknown_total {len(ANY)}.0" in text


def test_a_query_has_an_age_only_where_a_timestamp_tells_it() -> None:
    metrics = ResponderMetrics()
    for stamp in (NOW_MS - 250, NOW_MS + 10, NOW_MS - 3 * 86_400_000, *ANY.values()):
        metrics.observe_query("answered", stamp, NOW_MS / 1000)
    text = metrics.exposition().decode()
    assert 'hurnet_query_age_seconds_count{outcome="answered"} 3.0' in text
    assert 'hurnet_query_age_seconds_bucket{le="0.5",outcome="answered"} 2.0' in text
    assert f"hurnet_query_age_unknown_total {len(ANY)}.0" in text


def test_a_query_waits_since_it_was_asked_or_if_nobody_knows_since_it_was_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics, now_s = ResponderMetrics(), NOW_MS / 1000
    monkeypatch.setattr("hurnet_stream.metrics.responder.time.time", lambda: now_s)

    def waiting() -> float | None:
        return metrics.registry.get_sample_value("hurnet_oldest_query_waiting_seconds")

    assert waiting() == 0
    metrics.show_waiting([(NOW_MS - 4_000, now_s - 1), (NOW_MS - 2_000, now_s - 1)])
    assert waiting() == 4
    metrics.show_waiting([(stamp, now_s - 1) for stamp in ANY.values()])
    assert waiting() == 1
    now_s += 9
    assert waiting() == 10, "it goes on while the worker hangs"
    metrics.show_waiting([])
    assert waiting() == 0


def test_withdrawn_weights_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = ResponderMetrics()
    metrics.weights_in_force("faq", 3, 1_800_000_000.5, {"condition": 2.0})
    shown = metrics.exposition().decode()
    assert 'hurnet_weights_published_timestamp_seconds{context="faq"} 1.8000000005e+09' in shown
    metrics.no_weights_in_force("faq")
    metrics.no_weights_in_force("faq")
    assert "faq" not in metrics.exposition().decode()


@pytest.mark.parametrize("stamp", ANY.values(), ids=ANY)
def test_any_moment_can_be_shown(stamp: int) -> None:
    assert moment(stamp).endswith(("+00:00", "ms"))
    unlearned = DeletionAudit(0, Deletion(1, stamp), stamp, 0, {}, {})
    assert described(unlearned, Places.only("texts"))["asked"] == moment(stamp)


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [(0.2996, 0.3, "0.2996"), (0.12, 0.3, "0.12"), (0.29999999, 0.3, "0.29999999"), (0.0, 1e-9, "0.00")],
)
def test_what_is_below_a_limit_reads_so(value: float, limit: float, text: str) -> None:
    assert below(value, limit) == text
    assert float(below(np.nextafter(limit, 0), limit)) < limit
