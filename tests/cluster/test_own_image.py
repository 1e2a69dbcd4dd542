"""An image with code of the user's: built, pushed, and run by the reference that is printed."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import fairway, one_object
from tests.cluster import images, places
from tests.packaging import published, registries

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
CONFIGURATION = 'data: {source: function, function: "features:rows", target: income}\n'
ASK = "import features, os; print(os.getuid(), features.rows(None), *sorted(os.listdir('/opt/code/mine')))"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the host of a registry that buildah speaks to without TLS."""
    monkeypatch.setenv("BUILDAH_ISOLATION", "chroot")
    with registries.serving(tmp_path) as found:
        settings, login = tmp_path / "registries.conf", tmp_path / "login.json"
        settings.write_text(f'[[registry]]\nlocation = "{found}"\ninsecure = true\n')
        login.write_text(json.dumps({"auths": {found: {"auth": published.LOGIN}}}))
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(settings))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(login))
        yield found


def project(folder: Path) -> Path:
    """Return a folder with a function that needs a package of its own and a pinned library."""
    (folder / "mine").mkdir(parents=True)
    (folder / "fairway.yaml").write_text(CONFIGURATION)
    (folder / "mine" / "__init__.py").write_text("import iniconfig\nANSWER = 42\n")
    (folder / "mine" / ".env").write_text("PASSWORD=secret\n")
    (folder / "features.py").write_text("import mine\ndef rows(section): return mine.ANSWER\n")
    (folder / "features.py").chmod(0o600)
    lock = (places.ROOT / "requirements.lock").read_text()
    pinned = lock[lock.index("\niniconfig==") :].split("\n    #")[0]
    (folder / "pins.txt").write_text(pinned + "\n")
    assert "--hash=" in pinned
    return folder


def buildah(*arguments: str) -> str:
    done = subprocess.run(
        ["buildah", *arguments], capture_output=True, text=True, timeout=120, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_users_function_is_imported_by_nobody_in_the_image_of_the_printed_digest(
    host: str, tmp_path: Path
) -> None:
    images._base()
    tag = f"{host}/income-steps:1"
    done = fairway(
        *("image", "build", "features.py", "mine", "--requirements", "pins.txt"),
        *("--base", images.BASE, "--builder", "buildah", "--tag", tag, "--push", "-o", "json"),
        where=project(tmp_path / "project"),
    )
    assert done.returncode == 0, done.stderr
    made = one_object(done)
    assert made["image"] == f"{host}/income-steps@{made['digest']}"
    container = buildah("from", "--pull-always", made["image"])
    try:
        said = buildah("run", container, "--", "python", "-c", ASK)
        assert said == "65532 42 __init__.py"
        left = buildah("run", container, "--", "ls", "/opt")
        assert left.split() == ["code", "projects"]
    finally:
        buildah("rm", container)
        buildah("rmi", "--force", made["id"])
