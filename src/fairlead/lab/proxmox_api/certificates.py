"""The lab's certificate authority, so that clients verify here as they do at a real site.

authority = Authority.at(directory)          # ca.pem and ca.key, made once
authority.server(("10.77.0.1", "localhost")) # certificate and key, in one file
"""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAYS = 3650
_Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority of its own. file: its certificate, for SSL_CERT_FILE."""

    file: Path
    certificate: x509.Certificate
    key: _Key

    @classmethod
    def at(cls, directory: Path) -> "Authority":
        """The directory's authority, made if it is not there."""
        file, key_file = directory / "ca.pem", directory / "ca.key"
        if not (file.exists() and key_file.exists()):
            made = cls.fresh(file)
            _write(key_file, _private(made.key))
            _write(file, made.certificate.public_bytes(serialization.Encoding.PEM))
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        assert isinstance(key, _Key)
        return cls(file, x509.load_pem_x509_certificate(file.read_bytes()), key)

    @classmethod
    def fresh(cls, file: Path) -> "Authority":
        """Another authority, which nobody knows yet."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fairlead lab")])
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = _certificate(name, name, key.public_key(), key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        return cls(file, builder.add_extension(usage, critical=True).sign(key, hashes.SHA256()), key)

    def server(self, names: Sequence[str]) -> bytes:
        """Key and certificate (PEM) of a server with these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        builder = _certificate(subject, self.certificate.subject, key.public_key(), self.key.public_key())
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(each) for each in names]), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        signed = builder.sign(self.key, hashes.SHA256())
        return _private(key) + signed.public_bytes(serialization.Encoding.PEM)


def _certificate(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    """What both kinds have. Python 3.13 refuses chains without the two key identifiers."""
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=public)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=_DAYS))
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    return builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _private(key: _Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    """Readable by nobody else, whole or not at all."""
    draft = path.with_name(f".{path.name}")
    draft.touch(mode=0o600)
    draft.write_bytes(content)
    draft.replace(path)
