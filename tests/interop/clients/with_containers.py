"""The files for containers: what they say fits together, and the daemon starts with it.

No container engine is needed: what the image and the cluster give to the daemon (variables,
arguments, configuration, the kind of directories) is given to the real one in a folder.
"""

import contextlib
import fnmatch
import json
import os
import pathlib
import re
import shlex
import stat
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import yaml

from claims import claim, holds, same
from daemon import PATIENCE

ROOT = pathlib.Path(__file__).parents[3]
DOCKERFILE = ROOT / "Dockerfile"
MANIFESTS = ROOT / "deploy" / "descartes-daemon.yaml"
SECRET = "of a test, and long enough for it: 0123456789"
# The ports that everybody knows, and what says which they are.
FREE = {f"DESCARTES_SERVER__{name}_PORT": "0" for name in ("HTTP", "WS", "PUB", "ZMQ")}


def instructions():
    """The words of the Dockerfile: (instruction, rest), with continued lines in one."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.M).replace("\\\n", " ")
    return [line.split(None, 1) for line in text.splitlines() if line.strip()]


def rests(name):
    return [rest for word, rest in instructions() if word == name]


def environment():
    return dict(pair.split("=", 1) for rest in rests("ENV") for pair in shlex.split(rest))


def manifests():
    return {entry["kind"]: entry for entry in yaml.safe_load_all(MANIFESTS.read_text())}


def ignored(path):
    """Whether `.dockerignore` keeps a path of the top level out; the last line that matches wins."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept_out = False
    for line in filter(lambda line: line and not line.startswith("#"), lines):
        if fnmatch.fnmatch(path, line.lstrip("!")):
            kept_out = not line.startswith("!")
    return kept_out


@contextlib.contextmanager
def running(stage, arguments, given):
    """The daemon with these arguments and variables alone; gives where it listens."""
    runtime = pathlib.Path(given.get("DESCARTES_RUNTIME_DIR") or given["RUNTIME_DIRECTORY"])
    given = dict(PATH=os.environ["PATH"], **FREE) | given
    daemon = subprocess.Popen([stage.daemon.programs / "descartes-daemon", *arguments], env=given,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
    try:
        began = time.monotonic()
        while not (runtime / "endpoints.json").exists():
            holds(time.monotonic() - began < PATIENCE, "the daemon does not start")
            if daemon.poll() is not None:
                raise AssertionError(daemon.stdout.read())
            time.sleep(0.01)
        yield json.loads((runtime / "endpoints.json").read_text()), given
        daemon.terminate()
        same(daemon.wait(PATIENCE), 0, daemon.stdout.read())
    finally:
        daemon.kill()
        daemon.wait(PATIENCE)


def asked(url, path="/", body=None, **fields):
    fields = {name.replace("_", "-"): value for name, value in fields.items()}
    request = urllib.request.Request(url + path, body, {"Content-Type": "application/json"} | fields)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def assert_guarded(endpoints, programs, given):
    """Whoever has no credentials gets one word; who is the daemon's user gets in by the socket."""
    port = endpoints["http"].rsplit(":", 1)[1].strip("/")
    url = f"http://127.0.0.1:{port}"
    same(asked(url, "/health"), (200, "OK"))
    same(asked(url, "/ready"), (200, "READY"))
    call = b'{"jsonrpc":"2.0","id":1,"method":"agent.list"}'
    same(asked(url, "/", call)[0], 401, "nobody is let in without credentials")
    same(asked(url, "/", call, X_API_Key="x" * 40)[0], 401, "nor with wrong ones")
    healthy = subprocess.run([programs / "descartes", "health"], env=given, capture_output=True)
    same((healthy.returncode, healthy.stderr), (0, b""), "what the image calls HEALTHCHECK")


@claim
def the_image_is_built_by_what_ci_runs_too(stage):
    (build,) = [rest for rest in rests("RUN") if "cargo" in rest]
    words = set(build.split()) - {"--locked"}
    holds(words <= set((ROOT / ".ci" / "run").read_text().split()), build)
    (copied,) = [rest for rest in rests("COPY") if "--from" in rest]
    programs = [pathlib.Path(word).name for word in copied.split()[1:-1]]
    same(programs, ["descartes-daemon", "descartes"])


def read_from_outside(member):
    """The paths of the top level that files of a member lead to: links, and what it includes."""
    for path in (ROOT / member).rglob("*"):
        if path.is_symlink():
            yield path.resolve()
        elif path.suffix == ".rs":
            included = re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', path.read_text())
            yield from ((path.parent / name).resolve() for name in included)


@claim
def the_image_gets_all_that_the_build_reads_and_no_build(stage):
    members = re.search(r"members = \[(.*?)\]", (ROOT / "Cargo.toml").read_text(), re.S)[1]
    members = {path.split("/")[0] for path in re.findall(r'"([^"]+)"', members)}
    holds("descartes-bin" in members, "the workspace has members")
    outside = {path.relative_to(ROOT).parts[0]
               for member in members for path in read_from_outside(member)}
    holds("docs" in outside, "the guides are pages of a crate")
    for path in [*members, *outside, "Cargo.toml", "Cargo.lock"]:
        holds(not ignored(path), f"{path} is needed")
    for path in [".git", "target", ".ci", "deploy"]:
        holds(ignored(path), f"{path} is not needed")


@claim
def the_image_says_where_it_listens_and_who_it_is(stage):
    same(rests("EXPOSE"), ["8080 8081 9090"])
    same(rests("USER"), ["10001:10001"])
    (made,) = [rest for rest in rests("RUN") if "useradd" in rest]
    for words in ["groupadd --gid 10001 descartes", "useradd --uid 10001 --gid 10001 "]:
        holds(words in made, f"the user has a group of its own: {made}")
    same([json.loads(rest) for rest in rests("ENTRYPOINT")], [["descartes-daemon"]])
    given = environment()
    same([given[f"DESCARTES_SERVER__{name}_ADDR"] for name in ("HTTP", "WS", "METRICS")],
         ["0.0.0.0"] * 3)
    same(given["DESCARTES_AUTH__ENABLED"], "true")


@claim
def with_what_the_image_gives_it_the_daemon_lets_nobody_in_without_credentials(stage):
    with tempfile.TemporaryDirectory(prefix="descartes-image-") as place:
        given = {name: value.replace("/var/lib/descartes", f"{place}/lib")
                            .replace("/run/descartes", f"{place}/run")
                 for name, value in environment().items()}
        with running(stage, [], given | {"HOME": f"{place}/lib"}) as (endpoints, given):
            assert_guarded(endpoints, stage.daemon.programs, given)


@claim
def the_parts_for_a_cluster_fit_together(stage):
    parts = manifests()
    same(sorted(parts), ["ConfigMap", "Service", "StatefulSet"])
    held, pod = parts["StatefulSet"]["spec"], parts["StatefulSet"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    same(held["replicas"], 1, "one daemon has one volume")
    same(held["serviceName"], parts["Service"]["metadata"]["name"])
    for selector in [parts["Service"]["spec"]["selector"], held["selector"]["matchLabels"]]:
        same(selector.items() <= pod["metadata"]["labels"].items(), True, selector)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    same(sorted(ports.values()), [int(port) for port in rests("EXPOSE")[0].split()])
    same({port["targetPort"] for port in parts["Service"]["spec"]["ports"]}, set(ports))
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    same(mounted, volumes | {claim["metadata"]["name"] for claim in held["volumeClaimTemplates"]})
    same(pod["spec"]["volumes"][-1]["configMap"]["name"], parts["ConfigMap"]["metadata"]["name"])
    probes = [container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")]
    same([probe["path"] for probe in probes], ["/health", "/health", "/ready"])
    same({probe["port"] for probe in probes}, {"http"})


@claim
def the_pod_is_closed(stage):
    pod = manifests()["StatefulSet"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    same(pod["securityContext"]["runAsNonRoot"], True)
    same(f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}",
         rests("USER")[0], "the user of the image")
    same(pod["automountServiceAccountToken"], False)
    same(container["securityContext"], {"allowPrivilegeEscalation": False,
                                        "readOnlyRootFilesystem": True,
                                        "capabilities": {"drop": ["ALL"]}})


@claim
def with_what_the_cluster_gives_it_the_daemon_starts(stage):
    parts = manifests()
    (container,) = parts["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    with tempfile.TemporaryDirectory(prefix="descartes-pod-") as place:
        for folder in ("lib", "run", "config"):
            path = pathlib.Path(place, folder)
            path.mkdir()
            # As volumes are mounted: open to the group, and not the daemon's.
            path.chmod(stat.S_ISGID | 0o777)
        pathlib.Path(place, "config", "daemon.toml").write_text(parts["ConfigMap"]["data"]["daemon.toml"])

        def inside(text):
            for name, folder in [("/var/lib/descartes", "lib"), ("/run/descartes", "run"),
                                 ("/etc/descartes", "config")]:
                text = text.replace(name, f"{place}/{folder}")
            return text

        secret = {entry["name"]: entry.get("value", SECRET) for entry in container["env"]}
        given = {name: inside(value) for name, value in (environment() | secret).items()}
        arguments = [inside(argument) for argument in container["args"]]
        with running(stage, arguments, given | {"HOME": f"{place}/lib"}) as (endpoints, given):
            assert_guarded(endpoints, stage.daemon.programs, given)
            holds(pathlib.Path(place, "lib", "data").is_dir(), "its data is on the volume")
