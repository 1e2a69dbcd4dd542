"""Certificates as a pod has them: the files of a Secret, in a folder where the kubelet replaces
them."""

import os
from pathlib import Path
from typing import Any

from tests.cluster.certificates import Authority


def secret(authority: Authority, **asked: Any) -> dict[str, bytes]:
    """Return the files of a new certificate, as cert-manager names them; `asked` as for
    `Authority.issue`."""
    file = authority.issue("issued", common_name="a test's", **asked)
    files = {"tls.crt": file, "tls.key": file.with_suffix(".key"), "ca.crt": authority.certificate}
    return {name: path.read_bytes() for name, path in files.items()}


def mount(folder: Path, files: dict[str, bytes]) -> Path:
    """Put the files in the folder, all at once, as the kubelet does: by the rename of one link."""
    folder.mkdir(exist_ok=True)
    version = folder / f"..v{len(list(folder.glob('..v*')))}"
    version.mkdir()
    for name, content in files.items():
        (version / name).write_bytes(content)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    fresh = folder / "..fresh"
    fresh.symlink_to(version.name)
    os.replace(fresh, folder / "..data")
    return folder
