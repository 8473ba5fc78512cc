"""Certificates, keys and tokens, made by the openssl command: none of them is kept in the repository."""

import base64
import hashlib
import hmac
import json
import pathlib
import subprocess
import time

SECRET = "an HS256 secret of thirty-two bytes, at the least"


def openssl(*args, stdin=None):
    return subprocess.run(["openssl", *args], input=stdin, check=True, capture_output=True).stdout


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Credentials:
    """A certificate of localhost that is its own authority, and an RSA key whose public half is a JWK set."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.rsa, self.public, self.jwks = folder / "rsa.pem", folder / "public.pem", folder / "jwks.json"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-keyout", str(self.key), "-out", str(self.cert), "-days", "2", "-subj", "/CN=localhost",
                "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        openssl("genrsa", "-out", str(self.rsa), "2048")
        openssl("rsa", "-in", str(self.rsa), "-pubout", "-out", str(self.public))
        modulus = openssl("rsa", "-in", str(self.rsa), "-noout", "-modulus").decode().strip().split("=")[1]
        self.jwks.write_text(json.dumps({"keys": [
            {"kty": "RSA", "kid": "r1", "use": "sig", "alg": "RS256", "n": base64url(bytes.fromhex(modulus)),
             "e": "AQAB"}]}))

    def tls(self):
        """The settings of a server with this certificate."""
        return {"TLS_CERT": self.cert, "TLS_KEY": self.key}

    def rs256(self, signed):
        return openssl("dgst", "-sha256", "-sign", str(self.rsa), stdin=signed)


def hs256(signed, secret=SECRET):
    return hmac.new(secret if isinstance(secret, bytes) else secret.encode(), signed, hashlib.sha256).digest()


def token(sub="alice", header=None, sign=hs256, drop=(), **claims):
    """A good token, but for what is said."""
    header = {"alg": "HS256", "typ": "JWT"} if header is None else header
    payload = {"sub": sub, "exp": int(time.time()) + 3600, **claims}
    payload = {name: value for name, value in payload.items() if name not in drop}
    return token_of(json.dumps(header), json.dumps(payload), sign)


def token_of(header, payload, sign=hs256):
    """The same, from texts."""
    signed = f"{base64url(header.encode())}.{base64url(payload.encode())}".encode()
    return f"{signed.decode()}.{base64url(sign(signed))}"
