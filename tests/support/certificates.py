"""Keys and certificates that live as long as a test: an authority and what it signs."""

from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY = timedelta(days=1)

# The sixth of the nine usages that a certificate can name.
SIGNS_CERTIFICATES = x509.KeyUsage(*(usage == 6 for usage in range(1, 10)))


class Authority:
    """A private certificate authority that writes what it issues into a directory."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self.directory, self.name = directory, x509.Name.from_rfc4514_string(f"CN={name}")
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self.sign(self.name, self.key, [], is_authority=True)
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(pem(self.certificate))

    def issue(self, name: str, *hosts: str, days: int = 1, password: str = "") -> Path:
        """A file with a new key (encrypted with the password) and its certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name.from_rfc4514_string(f"CN={name}")
        certificate = self.sign(subject, key, list(hosts), days)
        file = self.directory / f"{name}.pem"
        file.write_bytes(pem(key, password) + pem(certificate) + pem(self.certificate))
        return file

    def sign(self, subject, key, hosts, days=1, is_authority=False) -> x509.Certificate:
        """A certificate for these host names that is valid until so many days from now."""
        until = datetime.now(timezone.utc) + days * DAY
        builder = x509.CertificateBuilder(self.name, subject, key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(until - 9 * DAY).not_valid_after(until)
        constraints = x509.BasicConstraints(ca=is_authority, path_length=None)
        builder = builder.add_extension(constraints, critical=True)
        for extension in identifiers(key, self.key):
            builder = builder.add_extension(extension, critical=False)
        if is_authority:
            builder = builder.add_extension(SIGNS_CERTIFICATES, critical=True)
        if hosts:
            names = x509.SubjectAlternativeName([host_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256())


def identifiers(key, issuer) -> tuple[x509.ExtensionType, ...]:
    """What tells whose certificate it is, and who signed it: OpenSSL's strict checks want both."""
    return (
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()),
    )


def host_name(host: str) -> x509.GeneralName:
    """A host as certificates name it: an address or a name."""
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def pem(thing, password: str = "") -> bytes:
    """A certificate or private key as text."""
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM)
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password.encode())
    form = serialization.PrivateFormat.PKCS8
    return thing.private_bytes(serialization.Encoding.PEM, form, encryption)
