"""A certificate authority that lives as long as its cluster, and the kubeconfigs of its users."""

import base64
import datetime
import ipaddress
import json
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates into one folder."""

    def __init__(self, folder: Path, *, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._build(self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.certificate = self._write(
            name, certificate.sign(self._key, hashes.SHA256()), self._key
        )

    def issue(
        self,
        name: str,
        *,
        common_name: str,
        organisation: str = "",
        hosts: tuple[str, ...] = (),
        uris: tuple[str, ...] = (),
        ends_in: datetime.timedelta = 30 * DAY,
    ) -> Path:
        """Return the certificate's file, `name.crt`, with `name.key` beside it; valid for servers
        and clients."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        if organisation:
            names.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
        builder = self._build(x509.Name(names), key.public_key(), ends_in=ends_in)
        others = [*map(_host, hosts), *map(x509.UniformResourceIdentifier, uris)]
        if others:
            builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
        return self._write(name, builder.sign(self._key, hashes.SHA256()), key)

    def _build(
        self,
        subject: x509.Name,
        public: ec.EllipticCurvePublicKey,
        *,
        ends_in: datetime.timedelta = 30 * DAY,
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + ends_in)
        )

    def _write(
        self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> Path:
        (self._folder / f"{name}.crt").write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
        )
        _write_key(self._folder / f"{name}.key", key)
        return self._folder / f"{name}.crt"


def service_account_keys(folder: Path) -> None:
    """Write the pair that signs service accounts' tokens, `sa.key` and `sa.pub`."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    _write_key(folder / "sa.key", key)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / "sa.pub").write_bytes(public)


def kubeconfig(path: Path, *, server: str, authority: Path, certificate: Path) -> None:
    """Write a kubeconfig with all it needs inside, readable by its owner only."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fairway",
        "clusters": [
            {
                "name": "fairway",
                "cluster": {"server": server, "certificate-authority-data": _base64(authority)},
            }
        ],
        "users": [
            {
                "name": "user",
                "user": {
                    "client-certificate-data": _base64(certificate),
                    "client-key-data": _base64(certificate.with_suffix(".key")),
                },
            }
        ],
        "contexts": [{"name": "fairway", "context": {"cluster": "fairway", "user": "user"}}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=1))


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
