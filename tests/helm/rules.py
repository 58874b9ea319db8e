"""What must hold of the rendered chart beyond its form.

    rules.py check CHART VALUES RENDERED    prints what does not hold; exit code 1
    rules.py config RENDERED                prints the configuration file of the ConfigMap
"""

import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path

import yaml

DEFAULT_DRAIN = "35s"
PROGRAM_MIB = 30
UNITS = {"ms": 0.001, "s": 1, "m": 60}


def documents(path):
    return [document for document in yaml.safe_load_all(Path(path).read_text()) if document]


def one(rendered, kind, suffix=""):
    found = [d for d in rendered if d["kind"] == kind and d["metadata"]["name"].endswith(suffix)]
    assert len(found) == 1, f"expected one {kind} …{suffix}, found {len(found)}"
    return found[0]


def config_of(rendered):
    return one(rendered, "ConfigMap")["data"]["gateway.toml"]


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)", text).groups()
    return int(number) * UNITS[unit]


def selects(service, labels):
    return service["spec"]["selector"].items() <= labels.items()


def configuration(rendered, values):
    """The file is the values' text word for word, and a change of it rolls the pods."""
    config = config_of(rendered)
    assert config == values["config"], "the ConfigMap's text is not the values' text"
    template = one(rendered, "Deployment")["spec"]["template"]
    checksum = template["metadata"]["annotations"]["checksum/config"]
    assert checksum == hashlib.sha256(config.encode()).hexdigest(), "checksum/config is not of the configuration"
    container = template["spec"]["containers"][0]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert variables["SCRM_GATEWAY_CONFIG"] == mounts["config"] + "/gateway.toml", "the file is not where it is sought"


def secrets(rendered, values):
    """The chart makes none, and mounts the one that is named."""
    assert not [d for d in rendered if d["kind"] == "Secret"], "the chart makes a Secret"
    pod = one(rendered, "Deployment")["spec"]["template"]["spec"]
    mounted = [volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume]
    expected = [values["existingSecret"]] if values["existingSecret"] else []
    assert mounted == expected, f"mounted secrets: {mounted}"
    paths = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "secrets"]
    assert paths == ["/run/secrets"] * len(expected), f"secrets are mounted at {paths}"


def hardening(rendered, _values):
    """Every pod, that of `helm test` too."""
    for pod in (one(rendered, "Deployment")["spec"]["template"]["spec"], one(rendered, "Pod")["spec"]):
        assert pod["automountServiceAccountToken"] is False, "a token of the service account is mounted"
        assert pod["enableServiceLinks"] is False, "variables of other services are set"
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True and context["runAsUser"] > 0, "runs as root"
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, "no seccomp profile"
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, "the file system can be written"
            assert context["allowPrivilegeEscalation"] is False, "privileges can be gained"
            assert context["capabilities"] == {"drop": ["ALL"]}, "capabilities are left"
            assert "memory" in container["resources"]["limits"], "memory has no limit"


def ports(rendered, values):
    """Probes ask the admin port, and callers never reach it."""
    deployment = one(rendered, "Deployment")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert {p["name"]: p["containerPort"] for p in container["ports"]} == {"http": 8080, "admin": 9090}
    for name, path in (("startup", "/livez"), ("liveness", "/livez"), ("readiness", "/readyz")):
        probe = container[f"{name}Probe"]["httpGet"]
        assert probe == {"path": path, "port": "admin"}, f"{name} asks {probe}"
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    services = [d for d in rendered if d["kind"] == "Service"]
    public, admin = sorted(services, key=lambda service: service["metadata"]["name"].endswith("-admin"))
    for service, target in ((public, "http"), (admin, "admin")):
        assert [port["targetPort"] for port in service["spec"]["ports"]] == [target], f"a service beside {target}"
        assert selects(service, labels), f"the service of {target} finds no pod"
        test = one(rendered, "Pod")["metadata"]["labels"]
        assert not selects(service, test), f"the service of {target} sends requests to the test's pod"
    assert public["spec"]["type"] == values["service"]["type"]
    assert admin["spec"]["type"] == "ClusterIP", "the admin port is exposed"
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= labels.items(), "the deployment does not select its pods"


def ingress(rendered, values):
    """As the values have it, and to the public port alone."""
    wanted = values["ingress"]
    if not wanted["enabled"]:
        assert not [d for d in rendered if d["kind"] == "Ingress"], "an ingress that nobody asked for"
        return
    found = one(rendered, "Ingress")
    assert found["spec"].get("ingressClassName", "") == wanted["className"]
    assert found["spec"].get("tls", []) == wanted["tls"]
    assert found["metadata"].get("annotations", {}) == wanted["annotations"]
    rules = [
        {
            "host": rule["host"],
            "paths": [{key: path[key] for key in ("path", "pathType")} for path in rule["http"]["paths"]],
        }
        for rule in found["spec"]["rules"]
    ]
    assert rules == wanted["hosts"], f"rules: {rules}"
    service = one(rendered, "Deployment")["metadata"]["name"]
    for rule in found["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            assert path["backend"]["service"] == {"name": service, "port": {"name": "http"}}


def stopping(rendered, values):
    """The pod is given the time for the pause and the drain."""
    pod = one(rendered, "Deployment")["spec"]["template"]["spec"]
    pause = values["preStopSleepSeconds"]
    lifecycle = pod["containers"][0].get("lifecycle", {})
    assert lifecycle == ({"preStop": {"sleep": {"seconds": pause}}} if pause else {})
    server = tomllib.loads(values["config"]).get("server", {})
    drain = seconds(server.get("drain_timeout", DEFAULT_DRAIN))
    grace = pod["terminationGracePeriodSeconds"]
    assert grace > pause + drain, f"killed after {grace} s, but may take {pause} s + {drain} s"


def mebibytes(quantity):
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()
    return int(number) * (1024 if unit == "Gi" else 1)


def memory(rendered, _values):
    """The request carries the default shares: full stores, which take 1.15 times their limits, bytes in flight and the program."""
    resources = one(rendered, "Deployment")["spec"]["template"]["spec"]["containers"][0]["resources"]
    request, limit = (mebibytes(resources[key]["memory"]) for key in ("requests", "limits"))
    least = (0.25 + 0.06) * limit * 1.15 + 0.3 * limit + PROGRAM_MIB
    assert request >= least, f"the request of {request} MiB is less than the {least:.0f} MiB that the gateway may use"


def names(rendered, _values):
    for document in rendered:
        name = document["metadata"]["name"]
        assert len(name) <= 63, f"the name {name} is too long"


def merged(below, above):
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: merged(below.get(key), value) for key, value in above.items()}
    return above


def missing(known, given, path=""):
    """What the schema lists and the values leave out."""
    properties = known.get("properties", {})
    for key, schema in properties.items():
        where = f"{path}{key}"
        if key not in given:
            yield where
        elif isinstance(given[key], dict):
            yield from missing(schema, given[key], f"{where}.")


def documentation(chart, values_path, own):
    """The schema, values.yaml and the case that sets everything know the same keys."""
    schema = json.loads((chart / "values.schema.json").read_text())
    del schema["properties"]["global"]
    # Kubernetes' own objects, of which nobody gives every part.
    foreign = ("affinity.", "resources.")
    given = {"values.yaml": yaml.safe_load((chart / "values.yaml").read_text())}
    if Path(values_path).name == "everything.yaml":
        given["everything.yaml"] = own
    for name, values in given.items():
        left_out = [key for key in missing(schema, values) if not key.startswith(foreign)]
        assert not left_out, f"{name} leaves out {left_out}"


RULES = [configuration, secrets, hardening, ports, ingress, stopping, memory, names]


def check(chart, values_path, rendered_path):
    rendered = documents(rendered_path)
    own = yaml.safe_load(Path(values_path).read_text()) or {}
    values = merged(yaml.safe_load((chart / "values.yaml").read_text()), own)
    failures = []
    for rule, arguments in [(rule, (rendered, values)) for rule in RULES] + [(documentation, (chart, values_path, own))]:
        try:
            rule(*arguments)
        except (AssertionError, KeyError) as error:
            failures.append(f"{rule.__name__}: {error!r}")
    print("\n".join(failures), end="\n" if failures else "")
    return bool(failures)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["check", chart, values, rendered]:
            sys.exit(check(Path(chart), values, rendered))
        case ["config", rendered]:
            sys.stdout.write(config_of(documents(rendered)))
        case _:
            sys.exit(__doc__)
