"""A token server as docker-registry's `auth: token` wants it (distribution's docs/spec/auth/token.md, jwt.md)."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.registry.certificates import Authority, new_key
from tests.registry.hostile import Asked, Reply, hostile

SERVICE = "test-registry"
ISSUER = "test-tokens"


@dataclass
class TokenServer:
    """Signs tokens for whoever shows the login. given: the scopes that tokens were given for."""

    realm: str
    bundle: Path
    login: tuple[str, str]
    key: rsa.RSAPrivateKey
    certificate: str
    expires_in: int = 300
    given: list[str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def token(self, scope: str) -> str:
        """A signed token for `repository:name:actions`."""
        kind, name, actions = scope.split(":")
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": self.login[0],
            "aud": SERVICE,
            "exp": now + self.expires_in,
            "nbf": now - 10,
            "iat": now,
            "jti": str(len(self.given)),
            "access": [{"type": kind, "name": name, "actions": actions.split(",")}],
        }
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self.certificate]}
        signed = b".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
        signature = self.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return (signed + b"." + _encoded(signature)).decode()

    def say(self, asked: Asked) -> Reply:
        """The token service's answer."""
        self.asked.append(asked)
        form = parse_qs(urlsplit(asked.path).query or asked.body.decode())
        if not self._knows(asked, form):
            return Reply(401)
        self.given.append(form["scope"][0])
        answer = {"token": self.token(form["scope"][0]), "expires_in": self.expires_in}
        return Reply(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def _knows(self, asked: Asked, form: dict[str, list[str]]) -> bool:
        basic = "Basic " + base64.b64encode(":".join(self.login).encode()).decode()
        return asked.headers.get("authorization") == basic or form.get("refresh_token") == [self.login[1]]


def _encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


@contextmanager
def token_server(directory: Path, login: tuple[str, str]) -> Iterator[TokenServer]:
    """Run a token server; `bundle` is the certificate that docker-registry trusts tokens by."""
    key = new_key()
    certificate = Authority.new("token signer", key).certificate
    bundle = directory / "tokens.pem"
    bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    der = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
    server = TokenServer("", bundle, login, key, der)
    with hostile(server.say) as listener:
        server.realm = f"http://{listener.host}/token"
        yield server
