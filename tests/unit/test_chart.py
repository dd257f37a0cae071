"""The Helm chart: what it makes is what Kubernetes takes, confined, connected, and what workers know."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
from pathlib import Path
from typing import NoReturn, get_args

import pytest
import yaml

from hurnet_stream.command_line import hurnet
from hurnet_stream.metrics.process import ProcessMetrics
from hurnet_stream.operations.planning.planning import plan
from hurnet_stream.operations.planning.shapes import Load, Machine
from hurnet_stream.runtime.loop import Loop
from hurnet_stream.settings.kafka import KafkaSettings
from hurnet_stream.settings.redis import RedisSettings
from hurnet_stream.settings.settings import CONFIG, LifecycleSettings, MetricsSettings, fields, load
from hurnet_stream.wiring.pages import pages
from tests.chart import CHART, Object, check, of_kind, pods, rendered
from tests.tools import run

ROOT = CHART.parents[1]
ROLES = ("ingest", "solver", "responder", "feedback", "gateway", "canary")
OPEN = "roles: { gateway: { enabled: true, keys: { secret: api-keys } } }\n"
SECRETS = """
secret:
  name: hurnet-passwords
  keys: { HURNET_KAFKA_PASSWORD: kafka-password, HURNET_REDIS_PASSWORD: redis-password }
kafka: { bootstrap: "kafka:9094", securityProtocol: SASL_SSL, saslMechanism: SCRAM-SHA-512, username: hurnet }
redis: { url: "rediss://valkey:6380/0", username: hurnet }
"""
OPERATORS = """
podMonitor: { enabled: true, labels: { release: prometheus } }
prometheusRule: { enabled: true }
dashboards: { enabled: true }
autoscaling: { enabled: true }
"""
CASES = {
    "defaults": "",
    "everything": SECRETS
    + OPERATORS
    + OPEN
    + """
image: { repository: registry.example:5000/hurnet, digest: "sha256:%s", pullSecrets: [registry] }
tls: { kafka: { secret: tls, ca: ca.crt, cert: tls.crt, key: tls.key }, redis: { secret: tls, ca: ca.crt } }
settings: { HURNET_EMBEDDER_NAME: hash512, HURNET_SOLVE_HALF_LIFE: 1000000, HURNET_INGEST_SKIP_GAP: false }
backup: { enabled: true, claim: backups, keepDays: 3 }
networkPolicy:
  kafka: { ports: [9094, 9095], to: [{ namespaceSelector: { matchLabels: { name: kafka } } }] }
  extraEgress: [{ ports: [{ port: 4318, protocol: TCP }] }]
serviceAccount: { annotations: { example.com/role: hurnet } }
nodeSelector: { disk: fast }
tolerations: [{ key: hurnet, operator: Exists }]
priorityClassName: high
podLabels: { team: answers }
volumes: [{ name: models, emptyDir: {} }]
volumeMounts: [{ name: models, mountPath: /models, readOnly: true }]
podAnnotations: { note: "yes" }
config:
  toml: |
    [topics.tickets]
    text = "value.subject"
    [contexts.news]
    age = 2592000
"""
    % ("0" * 64),
    "nothing": """
roles:
  ingest: { enabled: false }
  solver: { enabled: false }
  responder: { enabled: false }
  feedback: { enabled: false }
  canary: { enabled: false }
topics: { enabled: false }
disruptionBudgets: { enabled: false }
networkPolicy: { enabled: false }
serviceAccount: { create: false }
""",
    "secrets": SECRETS
    + """
roles:
  ingest: { secret: of-ingest, settings: { HURNET_KAFKA_USERNAME: hurnet-ingest } }
topics: { secret: of-admin, settings: { HURNET_KAFKA_USERNAME: admin } }
""",
    "tls": """
kafka: { bootstrap: "a:9093,b:9093", securityProtocol: SSL }
tls: { kafka: { secret: k, ca: ca.crt, cert: tls.crt, key: tls.key }, redis: { secret: r, ca: ca.crt } }
autoscaling: { enabled: true }
""",
}
CASES |= {file.stem: file.read_text() for file in sorted((CHART / "examples").glob("*.yaml"))}
CASES["slices"] = """
roles: { slice: { enabled: true, count: 3, replicas: 6 } }
secret: { name: s, keys: { HURNET_SLICES_SECRET: slices, HURNET_REDIS_PASSWORD: redis } }
tls: { slices: { secret: t, ca: ca.crt, cert: tls.crt, key: tls.key } }
"""
everywhere = pytest.mark.parametrize("values", CASES.values(), ids=CASES)


def _variables(container: Object) -> dict[str, str]:
    return {each["name"]: each.get("value", "from the pod") for each in container["env"]}


def _role(labels: Object) -> str:
    return str(labels["app.kubernetes.io/component"])


@everywhere
def test_helm_lints_it(values: str, tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(values)
    linted = run("helm", "lint", "--strict", str(CHART), "-f", str(tmp_path / "values.yaml"))
    assert linted.returncode == 0, linted.stdout


@everywhere
def test_kubernetes_takes_every_object_whole(values: str) -> None:
    for each in rendered(values):
        check(each)


def test_an_object_that_kubernetes_would_cut_is_noticed() -> None:
    for each in rendered(CASES["everything"]):
        if "spec" in each:
            with pytest.raises(Exception, match="replicaz"):
                check({**each, "spec": {**each["spec"], "replicaz": 1}})


@everywhere
def test_nothing_is_called_the_same(values: str) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in rendered(values)]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 63 for _, name in names)


def test_it_can_be_turned_off_to_the_last_object() -> None:
    assert {each["kind"] for each in rendered(CASES["nothing"])} == {"Pod"}, "`helm test` alone is left"


@everywhere
def test_pods_are_confined_as_pod_security_restricted_asks(values: str) -> None:
    for _, spec in pods(rendered(values)):
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["enableServiceLinks"] is spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec)
        assert all(
            set(volume) - {"name"} <= {"configMap", "emptyDir", "secret", "persistentVolumeClaim"}
            for volume in spec["volumes"]
        )
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert re.search(r":[\d.]+$|@sha256:[0-9a-f]{64}$", container["image"])


@everywhere
def test_selectors_select_the_pods_of_their_own_object_and_no_others(values: str) -> None:
    objects = rendered(values)
    labelled = [labels for labels, _ in pods(objects)]
    for each in of_kind(objects, "Deployment", "StatefulSet"):
        wanted = each["spec"]["selector"]["matchLabels"].items()
        assert wanted <= each["spec"]["template"]["metadata"]["labels"].items()
        assert len([labels for labels in labelled if wanted <= labels.items()]) == 1
    for each in of_kind(objects, "PodDisruptionBudget", "Service", "NetworkPolicy"):
        selector = each["spec"].get("podSelector") or each["spec"]["selector"]
        wanted = selector.get("matchLabels", selector).items()
        assert [_role(labels) for labels in labelled if wanted <= labels.items()] == [
            _role(each["metadata"]["labels"])
        ]


@everywhere
def test_each_variable_is_a_setting_and_all_of_them_load(
    values: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {f"HURNET_{section}_{name}".upper() for section, group in fields().items() for name in group}
    known.add(CONFIG)
    for _, spec in pods(rendered(values)):
        (container,) = spec["containers"]
        given = _variables(container)
        assert given.pop("OMP_NUM_THREADS") == "1"
        files = {name for name in given if name.endswith("_FILE")}
        assert {name if name in known else name.removesuffix("_FILE") for name in given} <= known
        with monkeypatch.context() as patched:
            for name in set(given) - files - {CONFIG}:
                patched.setenv(name, given[name].replace(" ", "-"))
            for name in files:  # they are in the pod, and not here
                if name.endswith(("PASSWORD_FILE", "SECRET_FILE")):
                    patched.setenv(name.removesuffix("_FILE"), "secret")
            loaded = load()
        assert loaded.log.format == "json"
        assert loaded.metrics.port == 9100


def test_the_settings_file_is_in_all_workers_as_it_was_written_and_they_start_anew_with_it(
    tmp_path: Path,
) -> None:
    toml = '[topics.tickets]\ntext = "value.subject"\n\n[contexts.news]\nage = 2592000\n'
    objects = rendered(yaml.safe_dump({"config": {"toml": toml}}))
    (config,) = of_kind(objects, "ConfigMap")
    (tmp_path / "hurnet.toml").write_text(config["data"]["hurnet.toml"])
    loaded = load(tmp_path / "hurnet.toml")
    assert loaded.topics["tickets"].text == "value.subject"
    assert loaded.contexts["news"].age == 2_592_000
    mounted = {_role(labels) for labels, spec in pods(objects) if CONFIG in _variables(spec["containers"][0])}
    assert mounted == {_role(labels) for labels, _ in pods(objects)} - {"topics"}, "its hook comes before"
    digests = {
        each["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        for each in of_kind(objects, "Deployment", "StatefulSet")
    }
    changed = rendered(yaml.safe_dump({"config": {"toml": toml + "rows = 5\n"}}))
    assert digests != {
        each["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        for each in of_kind(changed, "Deployment", "StatefulSet")
    }
    existing = rendered("config: { configMap: mine }")
    assert not of_kind(existing, "ConfigMap")
    volumes = [v for _, spec in pods(existing) for v in spec["volumes"] if v["name"] == "config"]
    assert {volume["configMap"]["name"] for volume in volumes} == {"mine"}


TIERED = "tiers: { enabled: true, size: 7Gi, storageClassName: fast }\n"


def test_rows_lie_on_a_disk_of_each_pod_that_goes_with_it() -> None:
    objects = rendered(TIERED)
    held = {
        each["metadata"]["name"]: each
        for each in of_kind(objects, "StatefulSet")
        if "volumeClaimTemplates" in each["spec"]
    }
    assert set(held) == {"it-hurnet-stream-responder"}
    spec = held["it-hurnet-stream-responder"]["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["resources"] == {"requests": {"storage": "7Gi"}}
    assert claim["spec"]["storageClassName"] == "fast"
    assert set(spec["persistentVolumeClaimRetentionPolicy"].values()) == {"Delete"}, "it is a cache"
    (container,) = spec["template"]["spec"]["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert _variables(container)["HURNET_RESPONDER_FOLDER"] == mounted[claim["metadata"]["name"]]


@pytest.mark.parametrize(
    ("values", "url", "tool"),
    [
        ("url: s3://b/p", "s3://b/p", ""),
        ("url: s3://b, credentials: { secret: s, key: k }", "s3://b", "AWS_SHARED_CREDENTIALS_FILE"),
        ("url: gs://b, credentials: { secret: s, key: k }", "gs://b", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("claim: shared", "/var/lib/hurnet/segments", ""),
    ],
)
def test_whoever_reads_the_store_finds_its_segments(values: str, url: str, tool: str) -> None:
    objects = rendered(f"segments: {{ {values} }}\nbackup: {{ enabled: true, claim: backups }}")
    for labels, spec in pods(objects):
        (container,) = spec["containers"]
        given, volumes = _variables(container), {each["name"]: each for each in spec["volumes"]}
        reads = "HURNET_REDIS_URL" in given
        assert given.get("HURNET_SEGMENTS_URL") == (url if reads else None), labels
        assert ("segments" in volumes) == (reads and url.startswith("/"))
        if tool and reads:
            (item,) = volumes["segments-credentials"]["secret"]["items"]
            assert given[tool] == f"/etc/hurnet/segments/{item['path']}"
    egress = {
        _role(each["metadata"]["labels"]): [
            port["port"] for rule in each["spec"]["egress"] for port in rule["ports"]
        ]
        for each in of_kind(objects, "NetworkPolicy")
    }
    reading = {"ingest", "solver", "responder", "canary", "backup", "doctor"}
    reached = {role for role, ports in egress.items() if 443 in ports}
    assert reached == (reading & set(egress) if "://" in url else set())


def test_the_example_of_a_large_deployment_is_what_the_plan_says() -> None:
    made = plan(Load(100_000_000, 512, 100, 100, 0), Machine(), "hash512").plan
    values = yaml.safe_load(CASES["large"])
    (slices,) = (part for part in made.parts if part.name == "slice")
    chosen = values["roles"]["slice"]
    assert (chosen["count"], chosen["replicas"]) == (made.shape.slices, slices.processes)
    assert int(chosen["resources"]["requests"]["memory"].removesuffix("Gi")) << 30 >= slices.bytes_each
    assert values["kafka"]["partitions"] % made.shape.slices == 0
    assert made.shape.tiers
    assert int(values["tiers"]["size"].removesuffix("Gi")) << 30 >= 2 * slices.disk_bytes / slices.processes
    assert made.shape.segments
    assert values["segments"]["url"]
    held = [
        each
        for each in of_kind(rendered(CASES["large"]), "StatefulSet")
        if "volumeClaimTemplates" in each["spec"]
    ]
    assert [_role(each["metadata"]["labels"]) for each in held] == ["slice"], "coordinators hold no rows"


def test_a_large_number_stays_one() -> None:
    values = "settings: { HURNET_SOLVE_HALF_LIFE: 1000000, HURNET_SOLVE_RIDGE: 0.25 }"
    for _, spec in pods(rendered(values)):
        given = _variables(spec["containers"][0])
        assert (given["HURNET_SOLVE_HALF_LIFE"], given["HURNET_SOLVE_RIDGE"]) == ("1000000", "0.25")


@everywhere
def test_each_file_that_a_setting_names_is_mounted(values: str) -> None:
    for _, spec in pods(rendered(values)):
        (container,) = spec["containers"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        mounted = {
            f"{mount['mountPath']}/{item['path']}"
            for mount in container["volumeMounts"]
            if mount["name"] in volumes
            for kind in ("secret", "configMap")
            for item in volumes[mount["name"]].get(kind, {}).get("items", [])
        }
        given = _variables(container)
        others = ("HURNET_GATEWAY_KEYS", "GOOGLE_APPLICATION_CREDENTIALS", CONFIG)
        files = {name for name in given if name.endswith("_FILE") or name in others}
        assert mounted == {given[name] for name in files}
        claimed = {"rows"} if "HURNET_RESPONDER_FOLDER" in given else set()  # one for each pod
        assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes) | claimed


@everywhere
def test_no_password_is_in_the_environment(values: str) -> None:
    for _, spec in pods(rendered(values)):
        assert not [name for name in _variables(spec["containers"][0]) if name.endswith("PASSWORD")]


def test_every_secret_that_may_stand_in_a_file_may_stand_in_a_secret() -> None:
    names = {f"HURNET_KAFKA_{name}".upper() for name in KafkaSettings.secret_names()}
    names |= {f"HURNET_REDIS_{name}".upper() for name in RedisSettings.secret_names()}
    assert {"HURNET_KAFKA_TOKEN", "HURNET_REDIS_URL"} <= names
    keys = ", ".join(f"{name}: {name.lower()}" for name in sorted(names))
    for labels, spec in pods(rendered(f"secret: {{ name: s, keys: {{ {keys} }} }}\nredis: {{ url: '' }}")):
        if _role(labels) == "ingest":
            given = _variables(spec["containers"][0])
            assert {name for name in given if name.endswith("_FILE")} == {f"{name}_FILE" for name in names}
            assert "HURNET_REDIS_URL" not in given


def test_a_role_gets_the_passwords_of_its_own_servers_alone() -> None:
    got, secrets = {}, {}
    for labels, spec in pods(rendered(CASES["secrets"])):
        got[_role(labels)] = {
            name for name in _variables(spec["containers"][0]) if name.endswith("_PASSWORD_FILE")
        }
        secrets[_role(labels)] = {
            volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume
        }
    kafka, redis = "HURNET_KAFKA_PASSWORD_FILE", "HURNET_REDIS_PASSWORD_FILE"
    assert got.pop("solver") == {redis}
    assert got.pop("feedback") == got.pop("topics") == {kafka}
    assert all(passwords == {kafka, redis} for passwords in got.values())
    assert (secrets.pop("ingest"), secrets.pop("topics")) == ({"of-ingest"}, {"of-admin"})
    assert all(names == {"hurnet-passwords"} for names in secrets.values())


def test_each_role_may_have_a_user_of_its_own_and_gets_no_others_password() -> None:
    values = """
kafka: { securityProtocol: SASL_SSL, saslMechanism: SCRAM-SHA-512, username: "hurnet-{user}" }
redis: { username: "hurnet-{user}" }
secret: { name: s, keys: { HURNET_KAFKA_PASSWORD: "kafka-{user}", HURNET_REDIS_PASSWORD: "redis-{user}" } }
autoscaling: { enabled: true }
"""
    users = {
        "ingest": ("ingest", "ingest"),
        "solver": (None, "solver"),
        "responder": ("responder", "responder"),
        "feedback": ("feedback", None),
        "canary": ("canary", "reader"),
        "topics": ("operator", None),
        "doctor": ("operator", "operator"),
    }
    kafka_rights, redis_rights = (
        (ROOT / "deploy/rights" / file).read_text() for file in ("kafka.sh", "redis.acl")
    )
    for labels, spec in pods(rendered(values)):
        kafka, redis = users.pop(_role(labels))
        assert kafka is None or f"User:hurnet-{kafka} " in kafka_rights
        assert redis is None or f"SETUSER hurnet-{redis} " in redis_rights
        given = _variables(spec["containers"][0])
        assert given.get("HURNET_KAFKA_USERNAME") == (kafka and f"hurnet-{kafka}")
        assert given.get("HURNET_REDIS_USERNAME") == (redis and f"hurnet-{redis}")
        (secret,) = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
        wanted = {f"kafka-{kafka}" if kafka else "", f"redis-{redis}" if redis else ""} - {""}
        assert {item["key"] for item in secret["items"]} == wanted
    assert not users
    asked = {
        _role(each["metadata"]["labels"]): each["spec"]["secretTargetRef"][0]["key"]
        for each in of_kind(rendered(values), "TriggerAuthentication")
    }
    assert asked == {"ingest": "kafka-ingest", "responder": "kafka-responder"}


def test_roles_that_write_in_transactions_keep_their_names() -> None:
    kinds = {
        _role(each["metadata"]["labels"]): each
        for each in of_kind(rendered(OPEN), "Deployment", "StatefulSet")
    }
    assert set(kinds) == set(ROLES)
    for role in ROLES:
        transactional = "instance" in fields().get(role, {}) and role != "canary"
        assert kinds[role]["kind"] == ("StatefulSet" if transactional else "Deployment")
        if transactional:
            (container,) = kinds[role]["spec"]["template"]["spec"]["containers"]
            (instance,) = [
                each for each in container["env"] if each["name"] == f"HURNET_{role.upper()}_INSTANCE"
            ]
            assert instance["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_responders_ask_slices_by_the_names_of_their_pods_and_nobody_else_may() -> None:
    objects = rendered(CASES["slices"])
    given = {_role(labels): _variables(spec["containers"][0]) for labels, spec in pods(objects)}
    counts = {role: each.get("HURNET_SLICES_COUNT") for role, each in given.items()}
    assert {role for role, count in counts.items() if count == "3"} == {"slice", "responder"}
    assert set(counts.values()) == {"3", None}
    of_slice = given["slice"]
    assert of_slice["HURNET_SLICES_LISTEN"] == "0.0.0.0:7600"
    (workload,) = [
        each for each in of_kind(objects, "StatefulSet") if each["metadata"]["name"].endswith("slice")
    ]
    service = workload["spec"]["serviceName"]
    assert of_slice["HURNET_SLICES_ADDRESS"] == f"$(HURNET_SLICES_INSTANCE).{service}.hurnet.svc:7600"
    assert workload["spec"]["replicas"] == 6
    assert {role for role, each in given.items() if "HURNET_SLICES_SECRET_FILE" in each} == {
        "slice",
        "responder",
    }
    policies = {_role(each["metadata"]["labels"]): each["spec"] for each in of_kind(objects, "NetworkPolicy")}
    (let_in,) = [
        each
        for each in policies["slice"]["ingress"]
        if each["ports"] == [{"port": "slices", "protocol": "TCP"}]
    ]
    (peer,) = let_in["from"]
    assert _role(peer["podSelector"]["matchLabels"]) == "responder"
    assert any(
        rule.get("ports") == [{"port": 7600, "protocol": "TCP"}] for rule in policies["responder"]["egress"]
    )


def _never() -> NoReturn:
    raise AssertionError("nothing is built here")


def test_probes_ask_pages_that_exist_and_wait_longer_than_the_workers_own_watchdog() -> None:
    served = pages(Loop(_never, LifecycleSettings(), ProcessMetrics()), ProcessMetrics(), 30)
    watched = [spec["containers"][0] for _, spec in pods(rendered(OPEN)) if "ports" in spec["containers"][0]]
    assert len(watched) == len(ROLES)
    for container in watched:
        probes = {name: container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
        assert {probe["httpGet"]["path"] for probe in probes.values()} <= set(served)
        assert all(probe["httpGet"]["port"] == container["ports"][0]["name"] for probe in probes.values())
        patience = {
            name: probe["periodSeconds"] * probe["failureThreshold"] for name, probe in probes.items()
        }
        assert patience["startup"] > LifecycleSettings().start
        assert patience["liveness"] + MetricsSettings().stall > LifecycleSettings().hang


def test_probes_and_the_time_to_end_follow_the_settings_of_their_role() -> None:
    patient = """
settings: { HURNET_LIFECYCLE_DRAIN: 2.5 }
roles:
  solver:
    settings: { HURNET_LIFECYCLE_START: 3600, HURNET_LIFECYCLE_HANG: "600", HURNET_LIFECYCLE_DRAIN: 60 }
"""
    waits = {}
    for labels, spec in pods(rendered(patient)):
        if "terminationGracePeriodSeconds" in spec:
            probes = (spec["containers"][0][f"{name}Probe"] for name in ("startup", "liveness"))
            patience = [probe["periodSeconds"] * probe["failureThreshold"] for probe in probes]
            waits[_role(labels)] = (spec["terminationGracePeriodSeconds"], *patience)
    assert waits.pop("solver") == (80, 3_660, 660)
    assert set(waits.values()) == {(23, 1_860, 180)}


def test_a_budget_lets_one_go_and_stands_only_where_another_is_left() -> None:
    budgets = {
        _role(each["metadata"]["labels"]): each["spec"]
        for each in of_kind(rendered(OPEN), "PodDisruptionBudget")
    }
    assert set(budgets) == {"ingest", "solver", "responder", "gateway"}
    assert {spec["maxUnavailable"] for spec in budgets.values()} == {1}


def test_the_gateway_is_reached_by_its_service_and_asks_for_keys() -> None:
    objects = rendered(OPEN)
    (service,) = [
        each for each in of_kind(objects, "Service") if _role(each["metadata"]["labels"]) == "gateway"
    ]
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
    ((_, spec),) = [pod for pod in pods(objects) if _role(pod[0]) == "gateway"]
    given = _variables(spec["containers"][0])
    assert given["HURNET_GATEWAY_KEYS"] == "/etc/hurnet/keys/keys.toml"
    assert f"{service['metadata']['name']}.hurnet.svc" in given["HURNET_GATEWAY_HOSTS"].split(",")
    (policy,) = [
        each for each in of_kind(objects, "NetworkPolicy") if _role(each["metadata"]["labels"]) == "gateway"
    ]
    assert [rule["ports"][0]["port"] for rule in policy["spec"]["ingress"]] == ["metrics", "http"]


def _reachable(values: str) -> dict[str, set[int]]:
    return {
        _role(policy["metadata"]["labels"]): {
            port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]
        }
        for policy in of_kind(rendered(values), "NetworkPolicy")
    }


def test_each_pod_reaches_only_what_it_needs() -> None:
    reachable = _reachable(CASES["secrets"])
    assert {_role(labels) for labels, _ in pods(rendered(CASES["secrets"]))} == set(reachable)
    assert reachable.pop("solver") == {53, 6380}
    assert reachable.pop("feedback") == reachable.pop("topics") == {53, 9094}
    assert all(ports == {53, 9094, 6380} for ports in reachable.values())
    assert _reachable(CASES["everything"])["solver"] == {53, 6380, 4318}
    for url, ports in {
        "redis://valkey/0": {6379},
        "redis+cluster://one:7001,two:7002": {7001, 7002},
        "redis+cluster://nodes": {6379},
        "sentinel+redis://one,two/store/0": {26379, 6379},
        "sentinel+redis://one:5000/store": {5000, 26379, 6379},
    }.items():
        assert _reachable(f"redis: {{ url: '{url}' }}")["solver"] == {53, *ports}
    for policy in of_kind(rendered(CASES["secrets"]), "NetworkPolicy"):
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        for rule in policy["spec"]["ingress"]:
            assert rule["ports"] == [{"port": "metrics", "protocol": "TCP"}]
            assert rule["from"]


def test_keda_follows_the_workers_own_groups_up_to_the_partitions() -> None:
    values = CASES["everything"] + "\nroles: { ingest: { settings: { HURNET_KAFKA_TEXTS: faqs } } }\n"
    values = values.replace(
        "username: hurnet }\nredis: {", "username: hurnet, partitions: 7 }\nredis: { prefix: shop,"
    )
    objects = rendered(values)
    scaled = of_kind(objects, "ScaledObject")
    assert len(scaled) == 2
    workloads = {each["metadata"]["name"]: each for each in of_kind(objects, "Deployment", "StatefulSet")}
    for each in scaled:
        role = _role(each["metadata"]["labels"])
        target = workloads[each["spec"]["scaleTargetRef"]["name"]]
        assert target["kind"] == each["spec"]["scaleTargetRef"]["kind"]
        assert "replicas" not in target["spec"], "an upgrade would set back what KEDA has chosen"
        assert (each["spec"]["minReplicaCount"], each["spec"]["maxReplicaCount"]) == (2, 7)
        (trigger,) = each["spec"]["triggers"]
        assert trigger["metadata"]["consumerGroup"] == f"shop-{role}"
        assert trigger["metadata"]["topic"] == {"ingest": "faqs", "responder": "queries"}[role]
        assert trigger["metadata"]["sasl"] == "scram_sha512"
        assert trigger["authenticationRef"]["name"] == each["metadata"]["name"]
    for each in of_kind(objects, "TriggerAuthentication"):
        given = {entry["parameter"] for entry in each["spec"]["secretTargetRef"] + each["spec"]["env"]}
        assert given == {"username", "password", "ca", "cert", "key"}


def test_keda_refuses_in_words_what_it_can_not_do() -> None:
    (literal, _) = get_args(fields()["kafka"]["sasl_mechanism"].annotation)
    for mechanism in {*get_args(literal), "GSSAPI"} - {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}:
        values = SECRETS.replace("SCRAM-SHA-512", mechanism) + "autoscaling: { enabled: true }"
        _refused(values, "KEDA knows")


def test_prometheus_sees_the_jobs_that_rules_and_dashboards_name() -> None:
    objects = rendered(CASES["everything"])
    (monitor,) = of_kind(objects, "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    (relabel,) = endpoint["relabelings"]
    assert relabel["sourceLabels"] == ["__meta_kubernetes_pod_label_app_kubernetes_io_component"]
    scraped = [
        _role(labels)
        for labels, spec in pods(objects)
        if monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
        and endpoint["port"] in [port["name"] for port in spec["containers"][0].get("ports", [])]
    ]
    jobs = {relabel["replacement"].replace("$1", role) for role in scraped}
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    assert jobs == {
        job["job_name"] for job in config["scrape_configs"] if job["job_name"].startswith("hurnet-")
    }


def test_rules_and_dashboards_are_those_of_compose() -> None:
    objects = rendered(CASES["everything"])
    (rule,) = of_kind(objects, "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())
    shown: dict[str, str] = {}
    for each in of_kind(objects, "ConfigMap"):
        if each["metadata"]["name"].endswith("-config"):
            continue  # the settings file
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        shown |= each["data"]
    own = (ROOT / "deploy/grafana/provisioning/dashboards").glob("*.json")
    assert {name: json.loads(text) for name, text in shown.items()} == {
        file.name: json.loads(file.read_text()) for file in own
    }
    assert all(len(text) < 1 << 20 for text in shown.values()), "a ConfigMap takes 1 MiB"


def test_a_package_holds_what_the_links_lead_to(tmp_path: Path) -> None:
    assert run("helm", "package", str(CHART), "-d", str(tmp_path)).returncode == 0
    (package,) = tmp_path.glob("*.tgz")
    with tarfile.open(package) as packed:
        held = {name.removeprefix("hurnet-stream/"): packed.getmember(name) for name in packed.getnames()}
    for file in (CHART / "files").rglob("*"):
        if file.suffix in {".json", ".yml"}:
            assert held[str(file.relative_to(CHART))].size == file.stat().st_size > 0
    assert not [name for name, member in held.items() if not member.isfile()]


def test_notes_say_what_to_do_next(tmp_path: Path) -> None:
    chart = shutil.copytree(CHART, tmp_path / "chart")
    # Helm shows notes only if it can ask a cluster; as a part of another template they are shown to anybody.
    notes = '{{ include (print .Template.BasePath "/NOTES.txt") . | nindent 2 }}'
    (chart / "templates/shown.yaml").write_text(f"kind: Notes\ntext: |{notes}\n")
    (shown,) = of_kind(rendered("", chart), "Notes")
    assert "helm test it -n hurnet --logs" in shown["text"]
    assert "exec sts/it-hurnet-stream-responder -- hurnet status" in shown["text"]
    assert shown["text"].count("WARNING: ") == 2, "neither Kafka nor Redis is encrypted by default"
    for url, warned in {"redis+cluster://a": 2, "sentinel+rediss://a/s": 1, "rediss+cluster://a": 1}.items():
        (shown,) = of_kind(rendered(f"redis: {{ url: '{url}' }}", chart), "Notes")
        assert shown["text"].count("WARNING: ") == warned


def test_versions_are_the_projects() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert about["version"] == about["appVersion"] == project["version"]


def test_pods_run_as_the_user_of_the_image() -> None:
    user = re.findall(r"^USER (\d+)$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    for _, spec in pods(rendered(OPEN)):
        assert [str(spec["securityContext"]["runAsUser"])] == user


def test_the_schema_knows_each_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(known: Object, value: Object, path: str) -> None:
        known = schema["$defs"][known["$ref"].rpartition("/")[2]] if "$ref" in known else known
        if known.get("additionalProperties") is False and "patternProperties" not in known:
            assert set(known["properties"]) - {"global", "claims"} == set(value), path
            for name, inner in value.items():
                if isinstance(inner, dict):
                    compare(known["properties"][name], inner, f"{path}.{name}")

    compare(schema, values, "values")


def test_pods_run_commands_that_exist() -> None:
    assert {spec["containers"][0]["args"][0] for _, spec in pods(rendered(OPEN))} <= set(hurnet.commands)


def test_a_backup_is_checked_before_old_ones_go(tmp_path: Path) -> None:
    (job,) = of_kind(rendered(CASES["everything"]), "CronJob")
    ((labels, spec),) = pods([job])
    assert _role(labels) == "backup"
    (container,) = spec["containers"]
    (script,) = container["args"]
    for fails, left in (("", 1), ("backup", 2), ("restore", 3)):  # the first command that fails ends it
        folder = tmp_path / f"fails-{fails}"
        (folder / "bin").mkdir(parents=True)
        hurnet_ = folder / "bin/hurnet"
        hurnet_.write_text(f'#!/bin/sh\n[ "$1" != "{fails}" ] || exit 1\n[ "$1" != backup ] || : > "$2"\n')
        hurnet_.chmod(0o755)
        for age in (10, 20):
            old = folder / f"{age}.hurnet"
            old.touch()
            os.utime(old, (old.stat().st_mtime - age * 86_400,) * 2)
        done = subprocess.run(
            [*container["command"], script.replace("/backups", str(folder))],
            env={"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
            check=False,
        )
        assert (done.returncode == 0) == (not fails)
        assert len(list(folder.glob("*.hurnet"))) == left


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ("image: { tag: latest }", "latest is another image every day"),
        ("kafka: { bootstrap: kafka }", "/kafka/bootstrap"),
        ("kafka: { bootstrap: 'kafka://kafka:9092' }", "/kafka/bootstrap"),
        ("kafka: { securityProtocol: SASL_SSL }", "SASL_SSL needs one, such as SCRAM-SHA-512"),
        ("kafka: { securityProtocol: TLS }", "/kafka/securityProtocol"),
        ("redis: { url: 'http://valkey' }", "/redis/url"),
        ("redis: { url: 'redis://:hunter2@valkey' }", "no user and no password in here"),
        ("settings: { EMBEDDER: use }", "'EMBEDDER' not allowed"),
        ("settings: { HURNET_KAFKA_PASSWORD: hunter2 }", "secrets are files"),
        ("roles: { solver: { settings: { HURNET_REDIS_PASSWORD: hunter2 } } }", "secrets are files"),
        ("redis: { username: 'hurnet-{role}' }", "{user} is the only word"),
        (
            "secret: { name: s, keys: { HURNET_REDIS_PASSWORD: 'redis-{role}' } }",
            "/secret/keys/HURNET_REDIS_PASSWORD",
        ),
        ("settings: { HURNET_KAFKA_TOKEN: hunter2 }", "secrets are files"),
        ("redis: { url: '' }", "either here, or in a Secret"),
        ("secret: { name: s, keys: { HURNET_REDIS_URL: url } }", "either here, or in a Secret"),
        ("backup: { enabled: true }", "which PersistentVolumeClaim"),
        ("backup: { schedule: nightly }", "/backup/schedule"),
        ("settings: { HURNET_METRICS_ENABLED: false }", "the probes need the pages"),
        ("settings: { HURNET_RESPONDER_INSTANCE: one }", "two pods must not have one name"),
        ("roles: { gateway: { enabled: true } }", "which Secret has the file of API keys"),
        ("roles: { gateway: { settings: { HURNET_GATEWAY_OPEN: true } } }", "it comes of roles.gateway"),
        ("roles: { solvers: {} }", "'solvers' not allowed"),
        ("roles: { ingest: { replicas: -1 } }", "/roles/ingest/replicas"),
        ("roles: { canary: { replicas: 2 } }", "/roles/canary/replicas"),
        ("secret: { keys: { HURNET_KAFKA_PASSWORD: k } }", "secret.keys names keys, but neither secret.name"),
        ("secret: { name: s, keys: { KAFKA: k } }", "'KAFKA' not allowed"),
        ("tls: { kafka: { ca: ca.crt } }", "which Secret are the certificates in"),
        ("tls: { redis: { secret: s, cert: tls.crt } }", "cert and key belong together"),
        ("config: { toml: 'a = 1', configMap: mine }", "config: either the text"),
        ("config: { toml: '[redis]\n\n  password = \"hunter2\"' }", "everybody who may list objects"),
        ("segments: { url: 's3://b', claim: c }", "segments: either an object store"),
        ("segments: { credentials: { secret: s } }", "secret and key belong together"),
        ("segments: { url: 's3://hunter2:hunter2@b' }", "segments.url: no user"),
        ("settings: { HURNET_SEGMENTS_URL: 's3://b' }", "it comes of tiers and segments"),
        ("tiers: { size: much }", "/tiers/size"),
        ("metrics: { port: 80 }", "/metrics/port"),
        ("replicas: 3", "'replicas' not allowed"),
    ],
)
def test_wrong_values_are_refused_in_words(values: str, word: str) -> None:
    _refused(values, word)


def _refused(values: str, word: str) -> None:
    with pytest.raises(AssertionError) as refusal:
        rendered(values)
    assert word in str(refusal.value)
    assert "hunter2" not in str(refusal.value)
