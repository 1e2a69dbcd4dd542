"""Certificates of a test's own CA, in the folder that a Secret or a csi volume would be."""

import datetime
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOUR = datetime.timedelta(hours=1)


class Issuer:
    """A CA."""

    def __init__(self, name: str = "fairway test") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._signed(
            self._builder(self._name, self._key, ends=datetime.datetime.now(datetime.UTC) + HOUR).add_extension(
                x509.BasicConstraints(ca=True, path_length=None), critical=True
            )
        )

    def issue(
        self, *, uris: tuple[str, ...] = (), hosts: tuple[str, ...] = (), ends_in: datetime.timedelta = HOUR
    ) -> dict[str, bytes]:
        """Return the files of a Secret."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [
            *map(x509.UniformResourceIdentifier, uris),
            *(x509.IPAddress(ipaddress.ip_address(host)) for host in hosts),
        ]
        ends = datetime.datetime.now(datetime.UTC) + ends_in
        builder = self._builder(x509.Name([]), key, ends=ends).add_extension(
            x509.SubjectAlternativeName(names), critical=True
        )
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])]
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {"tls.crt": self._signed(builder), "tls.key": private, "ca.crt": self.certificate}

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ends: datetime.datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(ends - 48 * HOUR)
            .not_valid_after(ends)
        )

    def _signed(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


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
