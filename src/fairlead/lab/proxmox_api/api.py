"""The API as a whole, served in this process.

with ProxmoxApi.start(directory) as api:
    environment = {**os.environ, **api.environment}
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fairlead.lab.proxmox_api.backend import Backend
from fairlead.lab.proxmox_api.certificates import Authority
from fairlead.lab.proxmox_api.cluster import Cluster, Tokens
from fairlead.lab.proxmox_api.faults import Faults
from fairlead.lab.proxmox_api.instant import Instant
from fairlead.lab.proxmox_api.server import Request, Server

LOCAL = "127.0.0.1"
_POLL = 0.05  # seconds until a server that is told to stop notices it


@dataclass(frozen=True, slots=True)
class ProxmoxApi:
    """A served cluster. url: `https://address:port/`. ca_file: for SSL_CERT_FILE.

    token: with the least privileges that do, as `user@realm!id=secret`. root_token: may everything.
    """

    cluster: Cluster
    url: str
    ca_file: Path
    tokens: Tokens
    _server: Server

    @property
    def token(self) -> str:
        """The token that a deployment gets."""
        return self.tokens.lab

    @property
    def root_token(self) -> str:
        """Root's."""
        return self.tokens.root

    @property
    def faults(self) -> Faults:
        """Set faults here."""
        return self.cluster.faults

    @property
    def requests(self) -> Sequence[Request]:
        """The newest requests, the oldest of them first."""
        return list(self._server.requests)

    @property
    def environment(self) -> dict[str, str]:
        """What OpenTofu reads in a deployment repository."""
        return {
            "TF_VAR_proxmox_endpoint": self.url,
            "TF_VAR_proxmox_api_token": self.token,
            "SSL_CERT_FILE": str(self.ca_file),
        }

    @classmethod
    @contextmanager
    def start(
        cls,
        directory: Path,
        backend: Backend | None = None,
        *,
        address: str = LOCAL,
        port: int = 0,
    ) -> Iterator["ProxmoxApi"]:
        """Serve until the block ends. directory: its state and its CA; used again, everything is still there.

        backend: None is the instant one. port: 0 takes a free one.
        """
        cluster = Cluster(directory, backend or Instant())
        authority = Authority.at(directory)
        tokens = cluster.found()
        server = Server(cluster, authority, (address, port), (address, "localhost"))
        api = cls(cluster, f"https://{address}:{server.server_address[1]}/", authority.file, tokens, server)
        thread = threading.Thread(target=server.serve_forever, args=(_POLL,), name="proxmox-api")
        thread.start()
        try:
            yield api
        finally:
            server.end()
            thread.join()
            cluster.close()
