"""A real Prometheus on loopback that scrapes real workers and evaluates the real rules, faster.

An alert that looks at six hours can't be waited for. So every time in the rules is divided by one factor, and
nothing else is changed: windows, `for`, offsets, how often rules are evaluated, and the limits in seconds.

    >>> faster("expr: rate(x[5m]) > 14.4 and y offset 2h", 30)
    'expr: rate(x[10000ms]) > 14.4 and y offset 240000ms'

With a factor of 30, five minutes are ten seconds, and Prometheus scrapes and evaluates once a second.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import yaml
from typing_extensions import override

from hurnet_stream.local.loopback import HOST, free_ports
from hurnet_stream.local.server import Server
from tests.tools import needed, run

RULES = Path(__file__).parents[1] / "deploy" / "prometheus" / "rules.yml"
SCRAPE_S = 1.0
_LEAST_MS = 1_000
"""Rules are not evaluated more often than metrics are scraped."""
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_WINDOW = re.compile(r"(\[|offset |for: )(\d+)(ms|s|m|h|d)\b")
_INTERVAL = re.compile(r"(interval: )(\d+)(ms|s|m|h|d)\b")
_HORIZON = re.compile(r"(\d+) \* 86400\b")
_LIMIT = re.compile(r"(hurnet:limit:seconds\".*vector\()(\d+)\)")


def faster(rules: str, factor: float) -> str:
    """The same rules with every time divided by `factor`."""

    def divided(found: re.Match[str], least_ms: int = 1) -> str:
        milliseconds = int(found[2]) * _UNIT_MS[found[3]] / factor
        return f"{found[1]}{max(least_ms, round(milliseconds))}ms"

    rules = _WINDOW.sub(divided, rules)
    rules = _INTERVAL.sub(lambda found: divided(found, _LEAST_MS), rules)
    rules = _HORIZON.sub(lambda found: f"{int(found[1]) * 86_400 / factor:g}", rules)
    return _LIMIT.sub(lambda found: f"{found[1]}{int(found[2]) / factor:g})", rules)


def promtool(*arguments: str) -> str:
    """What `promtool ARGUMENTS` says in the folder of the rules."""
    done = run("promtool", *arguments, folder=RULES.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that is pending or firing, as Prometheus tells it."""

    name: str
    state: str  # "pending" or "firing"
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


class Prometheus(Server):
    """Debian's Prometheus with `rules`, in a temporary folder. Use it in a `with` block.

        with Prometheus(faster(RULES.read_text(), 30)) as prometheus:
            prometheus.scrape({"hurnet-ingest": [url], "hurnet-canary": []})
            prometheus.query('up{job="hurnet-ingest"}')  # [({"job": ...}, 1.0)]

    Skips the test if no program `prometheus` is installed; in CI it must be.
    """

    name = "prometheus"

    def __init__(
        self, rules: str = "groups: []", *, scrape_s: float = SCRAPE_S, timeout: float = 60.0
    ) -> None:
        (port,) = free_ports(1)
        super().__init__(None, [port], timeout)
        self.url = f"http://{HOST}:{port}"
        self._rules = rules
        self._scrape_s = scrape_s
        self._targets: dict[str, Sequence[str]] = {}

    def scrape(self, targets: Mapping[str, Sequence[str]]) -> None:
        """From now on exactly these targets: the URLs of workers (of their root or any page) by job."""
        self._targets = dict(targets)
        self._write_config()
        if self.running:
            self._call("/-/reload", method="POST")

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """What `expression` is now: labels and value of each series."""
        result = self._api("query", query=expression)["result"]
        return [(series["metric"], float(series["value"][1])) for series in result]

    def query_range(
        self, expression: str, start_s: float, end_s: float, step_s: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """What `expression` was: labels and (seconds since the epoch, value) of each series."""
        found = self._api("query_range", query=expression, start=start_s, end=end_s, step=step_s)
        return [
            (series["metric"], [(float(at), float(value)) for at, value in series["values"]])
            for series in found["result"]
        ]

    def exemplars(self, expression: str, start_s: float, end_s: float) -> list[dict[str, Any]]:
        """The exemplars of the series that `expression` names."""
        found = self._api("query_exemplars", query=expression, start=start_s, end=end_s)
        return [exemplar for series in found for exemplar in series["exemplars"]]

    def alerts(self) -> list[Alert]:
        """What is pending or firing now."""
        return [
            Alert(a["labels"]["alertname"], a["state"], a["labels"], a["annotations"])
            for a in self._api("alerts")["alerts"]
        ]

    def unhealthy_rules(self) -> list[str]:
        """Rules whose last evaluation failed, each with its error."""
        rules = [rule for group in self._api("rules")["groups"] for rule in group["rules"]]
        return [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] == "err"]

    def wait_for(self, condition: Callable[[], Any], seconds: float, what: str) -> Any:
        """The first true value of `condition`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if value := condition():
                return value
            time.sleep(SCRAPE_S / 4)
        raise AssertionError(f"not within {seconds:g} s: {what}; alerts: {self.alerts()}")

    def wait_scraped(self, seconds: float = 120.0) -> Self:
        """Return once every target that was named is up."""
        wanted = sum(len(urls) for urls in self._targets.values())

        def scraped() -> bool:
            return sum(value for _, value in self.query("up")) == wanted

        self.wait_for(scraped, seconds, f"{wanted} targets scraped")
        return self

    @override
    def _prepare(self) -> list[str]:
        (self.data / "rules.yml").write_text(self._rules, "utf-8")
        self._write_config()
        return [
            needed("prometheus"),
            "--config.file=prometheus.yml",
            f"--web.listen-address={urlsplit(self.url).netloc}",
            "--web.enable-lifecycle",
            "--storage.tsdb.path=data",
            "--enable-feature=exemplar-storage",
            "--query.lookback-delta=5m",
        ]

    @override
    def _ready(self) -> bool:
        try:
            self._call("/-/ready")
        except OSError:
            return False
        return True

    def _write_config(self) -> None:
        jobs = [
            {
                "job_name": job,
                "static_configs": [{"targets": [urlsplit(url).netloc for url in urls]}],
            }
            for job, urls in self._targets.items()
        ]
        interval = f"{self._scrape_s * 1000:.0f}ms"
        config = {
            "global": {
                "scrape_interval": interval,
                "scrape_timeout": interval,
                "evaluation_interval": interval,
            },
            "rule_files": ["rules.yml"],
            "scrape_configs": jobs,
        }
        (self.data / "prometheus.yml").write_text(yaml.safe_dump(config), "utf-8")

    def _api(self, path: str, **parameters: Any) -> Any:
        """What /api/v1/PATH answers. Raises AssertionError with Prometheus' own words if it refuses."""
        query = urllib.parse.urlencode(parameters)
        try:
            body = json.loads(self._call(f"/api/v1/{path}?{query}"))
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None
        return body["data"]

    def _call(self, path: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(self.url + path, method=method)
        with urllib.request.urlopen(request, timeout=60) as response:
            return bytes(response.read())
