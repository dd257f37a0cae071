"""The Helm chart as Kubernetes gets it: rendered by helm, checked against the schemas of what it makes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator as Validator
from referencing import Registry, Resource

from tests.tools import run

CHART = Path(__file__).parents[1] / "deploy/chart"
CLUSTERS = ("1.29", kubernetes_validate.latest_version())
"""The oldest Kubernetes that Chart.yaml allows, and the newest whose schemas are known."""
CUSTOM = {  # kind -> Go module that the operator's definition of it comes in, and its file there
    "ScaledObject": ("github.com/kedacore/keda", "config/crd/bases/keda.sh_scaledobjects.yaml"),
    "TriggerAuthentication": (
        "github.com/kedacore/keda",
        "config/crd/bases/keda.sh_triggerauthentications.yaml",
    ),
    "PodMonitor": (
        "github.com/prometheus-operator/prometheus-operator",
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
    ),
    "PrometheusRule": (
        "github.com/prometheus-operator/prometheus-operator",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
}
Object = dict[str, Any]


@cache
def rendered(values: str, chart: Path = CHART) -> list[Object]:
    """All objects of the chart with these values, which are YAML. Nobody may change them."""
    told = ("-n", "hurnet", "--kube-version", CLUSTERS[0], "-f", "-")
    done = run("helm", "template", "it", str(chart), *told, given=values)
    assert done.returncode == 0, done.stderr
    return list(yaml.load_all(done.stdout, yaml.CSafeLoader))  # the safe one, in C


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """Those of some kinds."""
    return [each for each in objects if each["kind"] in kinds]


def pods(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """(labels, spec) of every pod that the objects make."""
    for each in objects:
        if each["kind"] == "Pod":
            yield each["metadata"]["labels"], each["spec"]
        elif each["kind"] == "CronJob":
            template = each["spec"]["jobTemplate"]["spec"]["template"]
            yield template["metadata"]["labels"], template["spec"]
        elif "template" in each.get("spec", {}):
            yield each["spec"]["template"]["metadata"]["labels"], each["spec"]["template"]["spec"]


def check(each: Object) -> None:
    """Raises if Kubernetes, or the operator that the object is for, would refuse it or drop a part of it."""
    if each["kind"] in CUSTOM:
        Validator(_definition(each["kind"])).validate(each)
    else:
        for cluster in CLUSTERS:
            _kubernetes(cluster, each["apiVersion"], each["kind"]).validate(each)


@cache
def _kubernetes(cluster: str, api: str, kind: str) -> Any:
    """As `kubernetes_validate.validate`, which reads its 20 MB anew for each object."""
    group = re.sub(r"^([^./]*)(\.[^/]*)?/", r"\1-", api)  # networking.k8s.io/v1: networking-v1
    schema = json.loads((_schemas(cluster) / f"{kind.lower()}-{group}.json").read_text())
    return Validator(schema, registry=Resource.from_contents(schema) @ _registry(cluster))


@cache
def _registry(cluster: str) -> Any:
    definitions = json.loads((_schemas(cluster) / "_definitions.json").read_text())
    return Resource.from_contents(definitions) @ Registry()


def _schemas(cluster: str) -> Path:
    found = Path(kubernetes_validate.__file__).parent.glob(f"kubernetes-json-schema/v{cluster}*-local-strict")
    return max(found)


@cache
def _definition(kind: str) -> Object:
    module, file = CUSTOM[kind]
    found = sorted(Path(run("go", "env", "GOMODCACHE").stdout.strip()).glob(f"{module}*/**/{file}"))
    if not found and os.environ.get("CI"):
        pytest.fail(f"CI must have {module} among Go's modules (.ci/run downloads it)")
    if not found:
        pytest.skip(f"{module} is not among Go's modules (.ci/run says how)")
    definition = yaml.load(found[-1].read_text(), yaml.CSafeLoader)
    (version,) = [each for each in definition["spec"]["versions"] if each["storage"]]
    return _closed(version["schema"]["openAPIV3Schema"])


def _closed(schema: Object) -> Object:
    """The same, but what it doesn't name is an error: a cluster would drop it without a word."""
    if "properties" not in schema:
        return {key: _closed(value) if key == "items" else value for key, value in schema.items()}
    properties = {key: _closed(value) for key, value in schema["properties"].items()}
    open_ = schema.get("x-kubernetes-preserve-unknown-fields", False)
    return {"additionalProperties": open_, **schema, "properties": properties}
