"""The first process of the cluster's namespaces: makes a node of them, starts Kubernetes, and
starts again what ends.

    unshare --net --mount --pid --fork --mount-proc --kill-child python -m tests.cluster.node SETTINGS.json

When it ends, by whatever death, the kernel ends everything in its pid namespace, and network and
mounts go with it.
"""

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PODS, SERVICES, DNS = "10.244.0.0/16", "10.96.0.0/16", "10.96.0.10"
NODE = "node"
START_SECONDS = 60.0
SUBSYSTEMS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Component:
    """A program of the node."""

    name: str
    argv: list[str]
    ready: Callable[[], bool] = lambda: True


class Node:
    """One node with its control plane, in the folder that the settings name."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.folder = Path(settings["folder"])
        self.binaries = Path(settings["binaries"])
        self.address = settings["address"]
        self.cgroup = settings["cgroup"]
        self.certificates = self.folder / "certificates"
        self.running: dict[int, Component] = {}

    def run(self) -> None:
        self._network()
        self._mounts()
        self._configure()
        for component in self._components():
            self._start(component)
            self._await(component)
        (self.folder / "ready").touch()
        self._keep()

    def _keep(self) -> None:
        """Reap what ends, and starts components again: a test may kill any of them."""
        while True:
            pid, status = os.waitpid(-1, 0)
            component = self.running.pop(pid, None)
            if component is not None:
                print(f"{component.name} ended ({status}); starting it again", flush=True)
                time.sleep(0.2)
                self._start(component)

    def _start(self, component: Component) -> None:
        with (self.folder / "logs" / f"{component.name}.log").open("ab") as log:
            process = subprocess.Popen(
                component.argv,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "PATH": f"{self.binaries}:/usr/sbin:/usr/bin:/sbin:/bin"},
            )
        process.returncode = 0  # `_keep` reaps it, not this object
        self.running[process.pid] = component
        (self.folder / "pids" / component.name).write_text(str(process.pid))

    def _await(self, component: Component) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not component.ready():
            if time.monotonic() > deadline:
                sys.exit(
                    f"{component.name} was not ready after {START_SECONDS:.0f} s: see "
                    f"{self.folder}/logs/{component.name}.log"
                )
            time.sleep(0.1)

    # -- the machine -------------------------------------------------------------------------------

    def _network(self) -> None:
        _run("ip", "link", "set", "lo", "up")
        deadline = time.monotonic() + START_SECONDS
        while not _has_link("eth0"):
            if time.monotonic() > deadline:
                sys.exit("eth0 was not put into the network namespace")
            time.sleep(0.05)
        _run("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        _run("ip", "link", "set", "eth0", "up")
        _run(
            "ip", "route", "add", SERVICES, "dev", "eth0"
        )  # never followed: kube-proxy rewrites it, which needs some route first
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def _mounts(self) -> None:
        # volumes that the kubelet mounts must be seen by the containers
        _run("mount", "--make-rshared", "/")
        _run("mount", "-t", "tmpfs", "tmpfs", "/run")
        for place in ("/var/log", "/var/lib/kubelet"):
            Path(place).mkdir(parents=True, exist_ok=True)
            ours = self.folder / place.replace("/", "-").strip("-")
            ours.mkdir(exist_ok=True)
            _run("mount", "--bind", str(ours), place)
        for subsystem in SUBSYSTEMS.iterdir():
            if subsystem.is_dir() and not subsystem.is_symlink():
                (subsystem / self.cgroup).mkdir(exist_ok=True)
        _share_cpus(self.cgroup)

    # -- what is configured by files ---------------------------------------------------------------

    def _configure(self) -> None:
        for name in ("logs", "pids", "cni", "containerd", "etcd"):
            (self.folder / name).mkdir(exist_ok=True)
        (self.folder / "resolv.conf").write_text(f"nameserver {DNS}\n")
        (self.folder / "cni" / "10-bridge.conflist").write_text(json.dumps(self._bridge()))
        (self.folder / "containerd.toml").write_text(self._containerd())
        (self.folder / "kubelet.json").write_text(json.dumps(self._kubelet()))

    def _bridge(self) -> dict[str, Any]:
        return {
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": "cni0",
                    "isGateway": True,
                    "hairpinMode": True,
                    "ipMasq": False,
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": PODS}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                        "dataDir": str(self.folder / "ipam"),
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }

    def _containerd(self) -> str:
        return f"""\
version = 2
root = "{self.folder}/containerd"
state = "/run/containerd-state"
oom_score = 0
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "fairway.test/pause:1"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{self.folder}/cni"
"""

    def _kubelet(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "x509": {"clientCAFile": str(self._file("ca.crt"))},
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
            },
            "authorization": {"mode": "Webhook"},
            "clusterDNS": [DNS],
            "clusterDomain": "cluster.local",
            "resolvConf": str(self.folder / "resolv.conf"),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.cgroup}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "0%",
                "nodefs.inodesFree": "0%",
                "imagefs.available": "0%",
            },
            "tlsCertFile": str(self._file("kubelet.crt")),
            "tlsPrivateKeyFile": str(self._file("kubelet.key")),
            "volumePluginDir": str(self.folder / "volume-plugins"),
            "nodeStatusReportFrequency": "10s",
            "nodeStatusUpdateFrequency": "5s",
            "syncFrequency": "10s",
            "maxPods": 250,
            "registerNode": True,
            "serializeImagePulls": False,
        }

    def _components(self) -> list[Component]:
        return [
            self._etcd(),
            self._apiserver(),
            self._controller_manager(),
            self._scheduler(),
            self._runtime(),
            self._agent(),
            self._proxy(),
        ]

    def _etcd(self) -> Component:
        return Component(
            "etcd",
            [
                "etcd",
                "--data-dir",
                str(self.folder / "etcd"),
                "--unsafe-no-fsync",
                "--listen-client-urls",
                "http://127.0.0.1:2379",
                "--advertise-client-urls",
                "http://127.0.0.1:2379",
                "--listen-peer-urls",
                "http://127.0.0.1:2380",
            ],
            lambda: _answers("http://127.0.0.1:2379/health"),
        )

    def _apiserver(self) -> Component:
        own = self._file
        return Component(
            "kube-apiserver",
            [
                "kube-apiserver",
                "--etcd-servers=http://127.0.0.1:2379",
                f"--advertise-address={self.address}",
                "--secure-port=6443",
                f"--tls-cert-file={own('apiserver.crt')}",
                f"--tls-private-key-file={own('apiserver.key')}",
                f"--client-ca-file={own('ca.crt')}",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                f"--service-account-key-file={own('sa.pub')}",
                f"--service-account-signing-key-file={own('sa.key')}",
                f"--service-cluster-ip-range={SERVICES}",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged=true",
                f"--kubelet-certificate-authority={own('ca.crt')}",
                f"--kubelet-client-certificate={own('apiserver-kubelet.crt')}",
                f"--kubelet-client-key={own('apiserver-kubelet.key')}",
                # it would look the node's name up in DNS otherwise
                "--kubelet-preferred-address-types=InternalIP",
                f"--requestheader-client-ca-file={own('aggregation-ca.crt')}",
                "--requestheader-allowed-names=front-proxy",
                "--requestheader-username-headers=X-Remote-User",
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                f"--proxy-client-cert-file={own('front-proxy.crt')}",
                f"--proxy-client-key-file={own('front-proxy.key')}",
                "--service-node-port-range=30000-32767",
            ],
            lambda: _answers(
                "https://127.0.0.1:6443/readyz",
                certificate=own("admin.crt"),
                authority=own("ca.crt"),
            ),
        )

    def _controller_manager(self) -> Component:
        own = self._file
        return Component(
            "kube-controller-manager",
            [
                "kube-controller-manager",
                f"--kubeconfig={own('controller-manager.kubeconfig')}",
                "--leader-elect=false",
                "--use-service-account-credentials",
                f"--service-account-private-key-file={own('sa.key')}",
                f"--root-ca-file={own('ca.crt')}",
                f"--cluster-cidr={PODS}",
                f"--cluster-signing-cert-file={own('ca.crt')}",
                f"--cluster-signing-key-file={own('ca.key')}",
                "--bind-address=127.0.0.1",
                # by default 15 s, which a test would wait for
                "--horizontal-pod-autoscaler-sync-period=3s",
            ],
        )

    def _scheduler(self) -> Component:
        own = self._file
        return Component(
            "kube-scheduler",
            [
                "kube-scheduler",
                f"--kubeconfig={own('scheduler.kubeconfig')}",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
            ],
        )

    def _runtime(self) -> Component:
        return Component(
            "containerd",
            ["containerd", "--config", str(self.folder / "containerd.toml")],
            lambda: (
                subprocess.run(["ctr", "version"], capture_output=True, check=False).returncode == 0
            ),
        )

    def _agent(self) -> Component:
        own = self._file
        return Component(
            "kubelet",
            [
                "kubelet",
                f"--config={self.folder / 'kubelet.json'}",
                f"--kubeconfig={own('kubelet.kubeconfig')}",
                f"--node-ip={self.address}",
                f"--hostname-override={NODE}",
                "--root-dir=/var/lib/kubelet",
            ],
            lambda: _answers("http://127.0.0.1:10248/healthz"),
        )

    def _proxy(self) -> Component:
        own = self._file
        return Component(
            "kube-proxy",
            [
                "kube-proxy",
                f"--kubeconfig={own('kube-proxy.kubeconfig')}",
                f"--hostname-override={NODE}",
                "--proxy-mode=iptables",
                f"--cluster-cidr={PODS}",
                "--conntrack-max-per-core=0",
            ],
        )

    def _file(self, name: str) -> Path:
        return self.certificates / name


def _share_cpus(cgroup: str) -> None:
    """A cpuset begins empty, and nothing can run in it."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (SUBSYSTEMS / "cpuset" / name).exists():
            (SUBSYSTEMS / "cpuset" / cgroup / name).write_text(
                (SUBSYSTEMS / "cpuset" / name).read_text()
            )


def _answers(url: str, *, certificate: Path | None = None, authority: Path | None = None) -> bool:
    context = ssl.create_default_context(cafile=str(authority)) if authority else None
    if context is not None and certificate is not None:
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    try:
        with urllib.request.urlopen(url, timeout=2, context=context) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _has_link(name: str) -> bool:
    return (
        subprocess.run(["ip", "link", "show", name], capture_output=True, check=False).returncode
        == 0
    )


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    for tool in ("etcd", "containerd", "runc", "iptables", "ip"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing: `make cluster` names the Debian packages it needs")
    Node(json.loads(Path(sys.argv[1]).read_text())).run()


if __name__ == "__main__":
    main()
