"""An image with code of the user's, built, pushed and run by the reference that is printed."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.running import fairway, one_object
from tests.cluster import images
from tests.packaging import published, registries

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
CONFIGURATION = """
data: {source: function, function: "features:rows", target: income}
platform: {store: "s3://packages/models"}
"""
ASK = "import features, os, iniconfig; print(os.getuid(), features.rows(None), *os.listdir('/opt/code'))"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Give the host of a registry that buildah may push to, without TLS."""
    with registries.serving(tmp_path) as found:
        (tmp_path / "insecure.conf").write_text(
            f'[[registry]]\nlocation = "{found}"\ninsecure = true\n'
        )
        (tmp_path / "login.json").write_text(
            f'{{"auths": {{"{found}": {{"auth": "{published.LOGIN}"}}}}}}'
        )
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "insecure.conf"))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "login.json"))
        yield found
