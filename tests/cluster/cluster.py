"""The cluster from the outside: brings it up, ends it, and enters it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import binaries, certificates, images, places

READY_SECONDS = 120.0
PACKAGES = (
    "etcd-server containerd runc buildah containernetworking-plugins "
    "iptables iproute2 debootstrap prometheus prometheus-alertmanager postgresql"
)
SUBSYSTEMS = Path("/sys/fs/cgroup")
COMPONENT_CERTIFICATES = {  # file: common name, organisation
    "admin": ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "kubelet": ("system:node:node", "system:nodes"),
    "kube-proxy": ("system:kube-proxy", ""),
    "apiserver-kubelet": ("apiserver-kubelet", "system:masters"),
}


@dataclass(frozen=True)
class Cluster:
    """A cluster that a kubeconfig leads to; ours where `folder` is set."""

    kubeconfig: Path
    folder: Path | None = None

    def kubectl(
        self, *arguments: str, input: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl; a failure raises with what it said."""
        return self._run(
            [str(binaries.folder() / "kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments],
            input=input,
            check=check,
        )

    def helm(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._run(
            [str(binaries.folder() / "helm"), "--kubeconfig", str(self.kubeconfig), *arguments],
            input=None,
            check=check,
        )

    @contextmanager
    def forwarded(self, namespace: str, place: str, port: int) -> Iterator[str]:
        """Give the URL by which a port of a pod or Service answers here."""
        kubectl = [str(binaries.folder() / "kubectl"), "--kubeconfig", str(self.kubeconfig)]
        argv = [*kubectl, "--namespace", namespace, "port-forward", place, f":{port}"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            said = running.stdout.readline()  # Forwarding from 127.0.0.1:PORT -> 8080
            try:
                assert said, f"kubectl does not forward to {place}"
                yield f"http://{said.split()[2]}"
            finally:
                running.terminate()

    def pid(self, component: str) -> int:
        """Return the process of a component of the node, as the host sees it."""
        inner = int((self._folder / "pids" / component).read_text())
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                fields = dict(
                    line.split(":\t", 1)
                    for line in status.read_text().splitlines()
                    if ":\t" in line
                )
            except OSError:
                continue
            if fields.get("NSpid", "").split()[1:] == [str(inner)] and component.startswith(
                fields["Name"][:15]
            ):
                return int(fields["Pid"])
        raise ProcessLookupError(component)

    def restart(self, component: str) -> None:
        """Kill a component of the control plane without warning; the node starts it again."""
        os.kill(self.pid(component), signal.SIGKILL)

    @property
    def address(self) -> str:
        """Return the node's address, by which NodePorts are reached."""
        if self.folder is not None:
            return str(json.loads((self.folder / "settings.json").read_text())["address"])
        nodes = json.loads(self.kubectl("get", "nodes", "--output=json").stdout)["items"]
        return next(
            str(a["address"]) for a in nodes[0]["status"]["addresses"] if a["type"] == "InternalIP"
        )

    @property
    def _folder(self) -> Path:
        assert self.folder is not None, "only the harness's own cluster has components to kill"
        return self.folder

    def _run(
        self, argv: list[str], *, input: str | None, check: bool
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(argv, input=input, text=True, capture_output=True, check=False)
        if check and done.returncode:
            raise AssertionError(
                f"{Path(argv[0]).name} {' '.join(argv[3:])[:300]} ended with {done.returncode}: "
                f"{done.stderr.strip()[-3000:]}"
            )
        return done


def up(*, bound: bool) -> Cluster:
    """Return the cluster, brought up where none runs; `bound`: it ends with this process, however
    that ends."""
    if running() is not None:
        return Cluster(places.KUBECONFIG, places.RUN)
    _require()
    clean()
    bin_, archives = binaries.folder(), images.files()
    began = time.monotonic()
    places.RUN.mkdir()
    index = _free_index()
    settings = {
        "folder": str(places.RUN),
        "binaries": str(bin_),
        "address": f"10.199.{index}.2",
        "host": f"10.199.{index}.1",
        "link": f"fairway{index}",
        "cgroup": f"fairway-{index}",
    }
    (places.RUN / "settings.json").write_text(json.dumps(settings))
    _certificates(settings["address"])
    pid = _spawn(bound=bound)
    (places.RUN / "pid").write_text(str(pid))
    _link(settings, inner=_child(pid))
    _until(lambda: (places.RUN / "ready").exists(), pid=pid, what="the control plane")
    cluster = Cluster(places.KUBECONFIG, places.RUN)
    load(archives)
    cluster.kubectl("apply", "--server-side", "-f", str(Path(__file__).parent / "objects"))
    _until(
        lambda: (
            "True"
            in cluster.kubectl(
                "get",
                "nodes",
                "-o",
                "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}",
            ).stdout
        ),
        pid=pid,
        what="the node",
    )
    cluster.kubectl(
        "--namespace=kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s"
    )
    print(
        f"the cluster is up after {time.monotonic() - began:.0f} s: export KUBECONFIG={places.KUBECONFIG}",
        file=sys.stderr,
        flush=True,
    )
    return cluster


def down() -> bool:
    """End the cluster and removes what it left; False where none ran."""
    pid = running()
    if pid is not None:
        os.kill(pid, signal.SIGKILL)  # unshare --kill-child: the whole namespace goes with it
        deadline = time.monotonic() + 30
        while running() is not None and time.monotonic() < deadline:
            time.sleep(0.05)
    clean()
    return pid is not None


def running() -> int | None:
    """Return the process that holds the cluster, if it lives."""
    try:
        pid = int((places.RUN / "pid").read_text())
        alive = (
            "tests.cluster.node" in Path(f"/proc/{pid}/cmdline").read_text()
            and Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
        )
    except (OSError, ValueError):
        return None
    return pid if alive else None


def clean() -> None:
    """Remove what a cluster left that was killed: its folder (the logs of the last run are kept),
    its link and its cgroups."""
    if running() is not None:
        return
    try:
        settings = json.loads((places.RUN / "settings.json").read_text())
    except OSError:
        settings = {}
    if settings:
        subprocess.run(["ip", "link", "delete", settings["link"]], capture_output=True, check=False)
        for subsystem in SUBSYSTEMS.iterdir():
            _remove_cgroup(subsystem / settings["cgroup"])
    if (places.RUN / "logs").exists():
        kept = places.RUN.with_name(places.RUN.name + "-logs")
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(places.RUN / "logs", kept)
        if (places.RUN / "var-log" / "pods").exists():
            shutil.copytree(places.RUN / "var-log" / "pods", kept / "pods")
    shutil.rmtree(places.RUN, ignore_errors=True)


def _remove_cgroup(folder: Path) -> None:
    if not folder.is_dir() or folder.is_symlink():
        return
    deadline = time.monotonic() + 10
    # a process that was killed leaves its group a moment later
    while folder.exists() and time.monotonic() < deadline:
        for inner, _, _ in os.walk(folder, topdown=False):
            try:
                os.rmdir(inner)
            except OSError:
                time.sleep(0.01)


def _certificates(address: str) -> None:
    folder = places.RUN / "certificates"
    folder.mkdir(mode=0o700)
    authority = certificates.Authority(folder, name="ca")
    for name, (common_name, organisation) in COMPONENT_CERTIFICATES.items():
        authority.issue(
            name,
            common_name=common_name,
            organisation=organisation,
            hosts=(address, "node") if name == "kubelet" else (),
        )
    authority.issue(
        "apiserver",
        common_name="kube-apiserver",
        hosts=(
            address,
            "127.0.0.1",
            "10.96.0.1",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ),
    )
    aggregation = certificates.Authority(folder, name="aggregation-ca")
    aggregation.issue("front-proxy", common_name="front-proxy")
    certificates.service_account_keys(folder)
    for name in ("controller-manager", "scheduler", "kubelet", "kube-proxy"):
        certificates.kubeconfig(
            folder / f"{name}.kubeconfig",
            server="https://127.0.0.1:6443",
            authority=authority.certificate,
            certificate=folder / f"{name}.crt",
        )
    certificates.kubeconfig(
        places.KUBECONFIG,
        server=f"https://{address}:6443",
        authority=authority.certificate,
        certificate=folder / "admin.crt",
    )


def _spawn(*, bound: bool) -> int:
    """Start the node's first process in namespaces of its own."""
    leash = ["setpriv", "--pdeathsig", "KILL"] if bound else []
    with (places.RUN / "node.log").open("ab") as log:
        process = subprocess.Popen(
            [
                *leash,
                "unshare",
                "--net",
                "--mount",
                "--pid",
                "--fork",
                "--mount-proc",
                "--kill-child=SIGKILL",
                sys.executable,
                "-m",
                "tests.cluster.node",
                str(places.RUN / "settings.json"),
            ],
            cwd=places.ROOT,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    process.returncode = 0  # it outlives this object; `running` looks at the process itself
    return process.pid


def _child(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            found = children.read_text().split()
        except OSError:
            break
        if found:
            return int(found[0])
        time.sleep(0.02)
    sys.exit(f"the node did not start: see {places.RUN / 'node.log'}")


def _link(settings: dict[str, str], *, inner: int) -> None:
    """Join this machine and the node by a cable of their own; the node has no other way out, and no
    route beyond it."""
    host = settings["host"]
    _ip(
        "link", "add", settings["link"], "type", "veth", "peer", "name", "eth0", "netns", str(inner)
    )
    _ip("address", "add", f"{host}/24", "dev", settings["link"])
    _ip("link", "set", settings["link"], "up")


def load(archives: Iterable[Path]) -> None:
    """Return the node the images that it has not got yet."""
    inner = _child(int((places.RUN / "pid").read_text()))
    enter = ["nsenter", "--target", str(inner), "--mount", "--pid", "--net"]
    known = places.RUN / "images"
    known.mkdir(exist_ok=True)
    for archive in archives:
        if (known / archive.name).exists():
            continue
        done = subprocess.run(
            [*enter, "ctr", "--namespace=k8s.io", "images", "import", str(archive)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"the image {archive.name} could not be imported: {done.stderr.strip()}")
        (known / archive.name).touch()


def _free_index() -> int:
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    return next(i for i in range(200) if f"fairway{i}@" not in links)


def _require() -> None:
    if os.geteuid() != 0:
        sys.exit(
            "the cluster's namespaces need root; or set KUBECONFIG to a cluster that runs, and the same tests run there"
        )
    missing = [
        tool
        for tool in (
            "etcd",
            "containerd",
            "runc",
            "buildah",
            "iptables",
            "ip",
            "debootstrap",
            "prometheus",
            "go",
        )
        if shutil.which(tool) is None
    ]
    if missing or not Path("/usr/lib/cni/bridge").exists():
        sys.exit(
            f"the cluster needs {', '.join(missing) or 'the CNI plug-ins'}: apt-get install --no-install-recommends "
            f"{PACKAGES}, and Go 1.26"
        )


def _until(true: Callable[[], bool], *, pid: int, what: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not true():
        if running() != pid or time.monotonic() > deadline:
            sys.exit(
                f"{what} did not come up: {(places.RUN / 'node.log').read_text().strip()[-500:]} (logs in "
                f"{places.RUN}/logs)"
            )
        time.sleep(0.1)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def external() -> Cluster | None:
    """Return the cluster that KUBECONFIG names, where it is not ours."""
    path = os.environ.get("KUBECONFIG")
    return Cluster(Path(path)) if path and Path(path) != places.KUBECONFIG else None
