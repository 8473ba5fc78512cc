"""Certificates, keys and tokens of these tests: those of tests/support, and tokens wrong in ways of their own."""

import hashlib
import hmac
import json
import pathlib
import time

from cryptography.hazmat.primitives import serialization

from support.certs import Certificate
from support.tokens import SECRET, RsaKey, b64


class Credentials:
    """A certificate that is its own authority, and an RSA key whose public half is a JWK set and a PEM text."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        certificate = Certificate(folder)
        self.cert, self.tls = certificate.cert, certificate.settings
        key = RsaKey("r1")
        self.rs256 = key.sign
        self.public = key.key.public_key().public_bytes(serialization.Encoding.PEM,
                                                        serialization.PublicFormat.SubjectPublicKeyInfo)
        self.jwks = folder / "jwks.json"
        self.jwks.write_text(json.dumps({"keys": [{**key.jwk(), "use": "sig", "alg": "RS256"}]}))


def hs256(signed, secret=SECRET):
    return hmac.digest(secret if isinstance(secret, bytes) else secret.encode(), signed, hashlib.sha256)


def token(sub="alice", header=None, sign=hs256, drop=(), **claims):
    """A good token, but for what is said."""
    header = {"alg": "HS256", "typ": "JWT"} if header is None else header
    payload = {"sub": sub, "exp": int(time.time()) + 3600, **claims}
    payload = {name: value for name, value in payload.items() if name not in drop}
    return token_of(json.dumps(header), json.dumps(payload), sign)


def token_of(header, payload, sign=hs256):
    """The same, from texts."""
    signed = f"{b64(header.encode())}.{b64(payload.encode())}".encode()
    return f"{signed.decode()}.{b64(sign(signed))}"
