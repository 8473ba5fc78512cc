"""An issuer of tokens: keys, the file that publishes them, and JSON Web Tokens signed by them or badly."""

import base64
import hashlib
import hmac
import json
import os
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

SECRET = "a secret of the tests that is long enough"
COORDINATE = 32  # bytes, of P-256


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(n, length=None):
    return b64(n.to_bytes(length or (n.bit_length() + 7) // 8, "big"))


def claims(user, expires_in=3600, **more):
    """The claims of a good token. What is None is left out."""
    made = {"sub": user, "exp": int(time.time()) + expires_in, **more}
    return {name: value for name, value in made.items() if value is not None}


class Secret:
    """HS256 with a shared secret."""

    algorithm, kid = "HS256", None

    def __init__(self, secret=SECRET):
        self.secret = secret.encode()

    def sign(self, data):
        return hmac.digest(self.secret, data, hashlib.sha256)

    def token(self, user=None, header=None, **more):
        return sign(self, claims(user, **more), header)


class RsaKey(Secret):
    algorithm = "RS256"

    def __init__(self, kid=None):
        self.kid, self.key = kid, rsa.generate_private_key(65537, 2048)

    def sign(self, data):
        return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def jwk(self):
        public = self.key.public_key().public_numbers()
        return {"kty": "RSA", "n": _number(public.n), "e": _number(public.e), **({"kid": self.kid} if self.kid else {})}


class EcKey(Secret):
    algorithm = "ES256"

    def __init__(self, kid=None):
        self.kid, self.key = kid, ec.generate_private_key(ec.SECP256R1())

    def sign(self, data):
        both = decode_dss_signature(self.key.sign(data, ec.ECDSA(hashes.SHA256())))
        return b"".join(n.to_bytes(COORDINATE, "big") for n in both)

    def jwk(self):
        public = self.key.public_key().public_numbers()
        return {"kty": "EC", "crv": "P-256", "x": _number(public.x, COORDINATE), "y": _number(public.y, COORDINATE),
                **({"kid": self.kid} if self.kid else {})}


def sign(key, payload, header=None):
    head = {"alg": key.algorithm, "typ": "JWT", **({"kid": key.kid} if key.kid else {}), **(header or {})}
    signed = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(payload).encode())}"
    return f"{signed}.{b64(key.sign(signed.encode()))}"


def publish(path, *keys):
    """The issuer's file, put there whole."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"keys": [key.jwk() for key in keys]}))
    os.rename(part, path)
    return path
