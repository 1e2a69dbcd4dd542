import os
from pathlib import Path

import httpx
import pytest

from fairway.packaging import bento
from tests.serving import support


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[bento.Bento, Path, str]:
    folder = tmp_path_factory.mktemp("bento")
    made = support.packaged(folder / "package")
    return bento.build(Path(made.path), home=folder / "home"), folder / "home", made.digest


def test_a_built_bento_is_listed_and_not_built_twice(built):
    made, home, digest = built
    assert made.tag == f"income:{digest.removeprefix('sha256:')[:12]}"
    assert made.tag in bento.tags(home)
    assert (made.path / "src" / "package" / "model.onnx").is_file()
    changed = os.stat(made.path).st_mtime_ns
    assert bento.build(made.path / "src" / "package", home=home) == made
    assert os.stat(made.path).st_mtime_ns == changed


def test_a_built_bento_serves_its_own_package_with_its_own_source(built, tmp_path):
    made, _, digest = built
    own = {"FAIRWAY_PACKAGE": "", "PYTHONPATH": ""}
    server = support.serve(tmp_path / "server", model=tmp_path, target=str(made.path), extra=own)
    try:
        server.wait_ready()
        assert httpx.post(server.infer, json=support.ONE).status_code == 200
        served = httpx.get(f"{server.url}/v2/models/income").json()["parameters"]["digest"]
        assert served == digest
        assert made.tag.partition(":")[2] == served.removeprefix("sha256:")[:12]
    finally:
        server.kill()
