"""The work of `check`."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import helm_python as helm
import kubernetes_validate
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# The oldest release that the charts allow, and the newest that has schemas here.
KUBERNETES = ("1.29", kubernetes_validate.latest_version().removesuffix(".0"))
# Beside a build of it; an absolute folder of cargo stays as it is.
PEERD = ROOT / (os.environ.get("CARGO_TARGET_DIR") or "target") / "debug" / "peerd"

CASES = {
    "defaults": {},
    "everything": {
        "image": {"repository": "registry.example.com/peerd", "tag": "1.2.3"},
        "imagePullSecrets": [{"name": "registry"}],
        "deployment": {"replicas": 5},
        "config": {
            "partitions": 64,
            "nats": {"servers": ["tls://a:4222", "tls://b:4222"]},
            "stream": {"replicas": 5, "max_bytes": 10_000_000_000},
            "events": {"bundle": True},
            "limits": {"cached_users": 1_000_000},
        },
        "auth": {"existingSecret": "creds", "credentialsKey": "nats.creds"},
        "tls": {"existingSecret": "tls", "certKey": "tls.crt", "keyKey": "tls.key"},
        "metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
        "lifecycle": {"preStop": {"exec": {"command": ["/peerd", "check-config"]}}},
        "networkPolicy": {
            "natsPeers": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "nats"}}}],
            "metricsPeers": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        },
        "podAnnotations": {"example.com/team": "chat"},
        "podLabels": {"team": "chat"},
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "high",
        "extraEnv": [{"name": "PEERD__LOG__LEVEL", "value": "warn"}],
    },
    "nothing optional": {
        "deployment": {"replicas": 1},
        "config": {"stream": {"replicas": 1}},
        "podDisruptionBudget": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "topologySpreadConstraints": {"enabled": False},
    },
}
KINDS = {
    "defaults": "ConfigMap Deployment NetworkPolicy PodDisruptionBudget Service",
    "everything": "ConfigMap Deployment NetworkPolicy PodDisruptionBudget Service ServiceMonitor",
    "nothing optional": "ConfigMap Deployment Service",
}
# Well-formed, and of nobody: the seed is all zeros.
CREDENTIALS = """-----BEGIN NATS USER JWT-----
e30.e30.e30
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
SUAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEQ
------END USER NKEY SEED------
"""
WRONG = {
    "an unknown value": {"replicaCount": 3},
    "an unknown section": {"config": {"stroam": {"replicas": 3}}},
    "no server": {"config": {"nats": {"servers": []}}},
    "a password in the values": {"config": {"nats": {"password": "secret"}}},
    "a text for a number": {"deployment": {"replicas": "three"}},
    "no secret": {"auth": {"existingSecret": ""}},
}


class Problem(Exception):
    """What is wrong with a chart."""


def objects(text: str) -> list[dict]:
    return [found for found in yaml.safe_load_all(text) if found]


def rendered(chart: Path, values: dict, name: str = "demo") -> list[dict]:
    with helm.Chart.load(str(chart)) as loaded:
        loaded.validate_schema(values)
        files = loaded.render(values, name=name, namespace="chat")
    manifests = [files[file] for file in sorted(files) if not file.endswith("NOTES.txt")]
    return [one for text in manifests for one in objects(text)]


def validate(found: list[dict]) -> None:
    """Against the schemas of Kubernetes, where unknown fields are errors."""
    for one in found:
        if one["kind"] == "ServiceMonitor":
            validate_service_monitor(one, found)
            continue
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(one, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                raise Problem(f"{one['kind']} for {version}: {error.message}") from error


def validate_service_monitor(monitor: dict, found: list[dict]) -> None:
    """It has no schema in Kubernetes; it must select a service and a port that exist."""
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    [service] = [one for one in found if one["kind"] == "Service"]
    ports = {port["name"] for port in service["spec"]["ports"]}
    if not wanted <= service["metadata"]["labels"].items():
        raise Problem("the ServiceMonitor does not select the service")
    if not {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports:
        raise Problem("the ServiceMonitor names a port that the service does not have")


def pod_of(found: list[dict]) -> dict:
    [deployment] = [one for one in found if one["kind"] == "Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    if not deployment["spec"]["selector"]["matchLabels"].items() <= labels.items():
        raise Problem("the Deployment does not select its pods")
    return deployment["spec"]["template"]


def check_pod(found: list[dict], is_sidecar: bool) -> None:
    """The pod has the container, its volumes, its probes, and time to hand the users over."""
    pod = pod_of(found)
    spec = pod["spec"]
    containers = spec["initContainers" if is_sidecar else "containers"]
    [peerd] = [one for one in containers if one["name"] == "peerd"]
    mounts = {mount["name"] for mount in peerd["volumeMounts"]}
    if mounts != {volume["name"] for volume in spec["volumes"]}:
        raise Problem(f"mounts {mounts}, but has other volumes")
    if peerd.get("restartPolicy") != ("Always" if is_sidecar else None):
        raise Problem("only a sidecar has a restartPolicy")
    for probe, path in (("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        if peerd[probe]["httpGet"]["path"] != path:
            raise Problem(f"{probe} is not at {path}")
    if spec["terminationGracePeriodSeconds"] <= 10:
        raise Problem("a pod has too little time to hand its users over")
    if "checksum/config" not in pod["metadata"]["annotations"]:
        raise Problem("a change of the configuration does not restart the pods")


def environment_of(pod: dict, files: Path) -> dict[str, str]:
    """The variables of peerd's container, with mounted secrets in a folder of this machine."""
    spec = pod["spec"]
    containers = spec.get("initContainers", []) + spec["containers"]
    [peerd] = [one for one in containers if one["name"] == "peerd"]
    # A variable from a secret has some text.
    values = {one["name"]: one.get("value", "text") for one in peerd["env"]}
    return {name: re.sub(r"^/etc/peerd-\w+", str(files), value) for name, value in values.items()}


def check_config(found: list[dict]) -> None:
    """peerd accepts the configuration and the variables, if a build of it is here."""
    [file] = [one["data"]["peerd.toml"] for one in found if one["kind"] == "ConfigMap"]
    if not PEERD.exists():
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "peerd.toml").write_text(file)
        (folder / "nats.creds").write_text(CREDENTIALS)
        subprocess.run([ROOT / "deploy" / "nats" / "test-ca", folder], check=True)
        for kind in ("crt", "key"):
            (folder / f"server.{kind}").rename(folder / f"tls.{kind}")
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PEERD")}
        command = [PEERD, "check-config", "--config", folder / "peerd.toml"]
        environment = clean | environment_of(pod_of(found), folder)
        run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
        if run.returncode:
            raise Problem(f"peerd refuses the configuration:\n{file}\n{run.stdout}{run.stderr}")


def check_lint(chart: Path) -> None:
    report = helm.lint(str(chart), strict=True)
    found = [m for m in report["messages"] if m["severity"] > 1]
    if found or report["errors"]:
        raise Problem(f"lint: {found} {report['errors']}")


def check_peerd() -> None:
    chart = HERE / "peerd"
    check_lint(chart)
    for case, values in CASES.items():
        with named(f"peerd, {case}"):
            found = rendered(chart, values)
            kinds = " ".join(sorted(one["kind"] for one in found))
            if kinds != KINDS[case]:
                raise Problem(f"renders {kinds}")
            validate(found)
            check_pod(found, is_sidecar=False)
            check_config(found)
    for case, values in WRONG.items():
        with contextlib.suppress(helm.HelmError):
            rendered(chart, values)
            raise Problem(f"peerd: {case} is accepted")


def check_sidecar() -> None:
    with tempfile.TemporaryDirectory() as folder, named("sidecar"):
        chart = Path(folder) / "sidecar"
        shutil.copytree(HERE / "sidecar", chart)
        # As `helm dependency update` does.
        shutil.copytree(HERE / "peerd", chart / "charts" / "peerd")
        check_lint(chart)
        found = rendered(chart, {}, "chat")
        if sorted(one["kind"] for one in found) != ["ConfigMap", "Deployment"]:
            raise Problem("peerd renders more than its configuration")
        validate(found)
        check_pod(found, is_sidecar=True)
        check_config(found)


def check_manifest() -> None:
    file = ROOT / "deploy" / "kubernetes" / "sidecar.yaml"
    with named(file.name):
        found = objects(file.read_text("utf-8"))
        validate(found)
        check_config(found)


def check_versions() -> None:
    """The charts have the version of the package, which is that of the image."""
    [version] = re.findall(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text("utf-8"), re.M)
    chart = yaml.safe_load((HERE / "peerd" / "Chart.yaml").read_text("utf-8"))
    [needed] = yaml.safe_load((HERE / "sidecar" / "Chart.yaml").read_text("utf-8"))["dependencies"]
    if {chart["version"], chart["appVersion"], needed["version"]} != {version}:
        raise Problem(f"a chart does not have the version {version} of Cargo.toml")


def permissions_of_users_conf(user: str) -> list[str]:
    """The subjects of a user in deploy/nats/users.conf, in their order."""
    text = (ROOT / "deploy" / "nats" / "users.conf").read_text("utf-8")
    text = re.sub(r"^ *#.*$", "", text, flags=re.M)
    _, after = text.split(f"user: {user}\n")
    return re.findall(r'"(\S+\.\S+)"', after.split("user: ")[0])


def check_nats_values() -> None:
    """The values for the chart of NATS give the permissions of users.conf."""
    values = yaml.safe_load((HERE / "nats-values.yaml").read_text("utf-8"))
    for user in values["config"]["merge"]["authorization"]["users"]:
        permissions = user["permissions"]
        publish = permissions["publish"]
        subjects = publish["allow"] + publish.get("deny", []) + permissions["subscribe"]["allow"]
        expected = permissions_of_users_conf(user["user"])
        if subjects != expected:
            raise Problem(f"nats-values.yaml: {user['user']} has {subjects}, not {expected}")


@contextlib.contextmanager
def named(what: str):
    """Says of what a problem is."""
    try:
        yield
    except (Problem, helm.HelmError) as problem:
        raise Problem(f"{what}: {problem}") from problem


def main() -> int:
    try:
        check_versions()
        check_peerd()
        check_sidecar()
        check_manifest()
        check_nats_values()
    except Problem as problem:
        print(f"deploy/helm/check: {problem}", file=sys.stderr)
        return 1
    versions = " and ".join(KUBERNETES)
    print(f"deploy/helm/check: rendered by Helm {helm.helm_sdk_version()}, valid for {versions}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
