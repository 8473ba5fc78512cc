"""Certificates made for a test: self-signed, for 127.0.0.1, ::1 and localhost. Clients trust them by name."""

import base64
import datetime
import ipaddress
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_WEEK = datetime.timedelta(days=7)


class Certificate:
    """A certificate and its key as files: `cert` and `key` for the server, `both` for a proxy."""

    def __init__(self, directory, name="server"):
        self.cert, self.key, self.both = (directory / f"{name}.{kind}" for kind in ("crt", "key", "pem"))
        self.write(name)

    def write(self, name="renewed"):
        """Makes another one in the same place, each file put there whole."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
        now = datetime.datetime.utcnow()
        names = [x509.DNSName("localhost")] + [x509.IPAddress(ipaddress.ip_address(a)) for a in ("127.0.0.1", "::1")]
        made = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(now - _WEEK).not_valid_after(now + _WEEK)
                .add_extension(x509.SubjectAlternativeName(names), critical=False).sign(key, hashes.SHA256()))
        pem = made.public_bytes(serialization.Encoding.PEM)
        key_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                    serialization.NoEncryption())
        self.der = made.public_bytes(serialization.Encoding.DER)
        digest = hashes.Hash(hashes.SHA256())
        digest.update(key.public_key().public_bytes(serialization.Encoding.DER,
                                                    serialization.PublicFormat.SubjectPublicKeyInfo))
        self.key_hash = base64.b64encode(digest.finalize()).decode()
        for path, content in ((self.key, key_pem), (self.cert, pem), (self.both, pem + key_pem)):
            part = path.with_suffix(".part")
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                out.write(content)
            part.rename(path)
        return self

    def settings(self):
        return {"TLS_CERT": self.cert, "TLS_KEY": self.key}

    def context(self, version=None):
        """A client's view: this certificate is trusted, and nothing else."""
        context = ssl.create_default_context(cafile=self.cert)
        if version:
            context.minimum_version = context.maximum_version = version
        return context
