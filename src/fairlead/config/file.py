"""fairlead.yaml, read only as far as it is needed.

pydantic and the models take longer to import than all else that a skip of `fairlead provision` does (measured). What
provisioning needs of the file is therefore remembered, with a digest of what it was read from.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fairlead import __version__
from fairlead.config import layout
from fairlead.config.load import load_configuration, read_file

if TYPE_CHECKING:
    from fairlead.config.models import Configuration


@dataclass(frozen=True)
class Brief:
    """What provisioning needs to know of a fairlead.yaml that is right.

    digest: of what this was read from. made: whether OpenTofu makes the machines; else they have addresses, by
    environment. refresh_after: in seconds. port: ssh's.
    """

    digest: str
    app: str
    branch: str
    environments: tuple[str, ...]
    port: int
    made: bool = False
    refresh_after: float = 0.0
    addresses: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, configuration: "Configuration", digest: str) -> Self:
        """The brief of what was read."""
        from fairlead.config.models import OpentofuProvision  # noqa: PLC0415

        said, provision = configuration, configuration.provision
        brief = cls(digest, said.app, said.git.branch, tuple(said.environments), said.deploy.port)
        if isinstance(provision, OpentofuProvision):
            return replace(brief, made=True, refresh_after=provision.refresh_after.total_seconds())
        return replace(brief, addresses=provision.addresses)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What `dataclasses.asdict` made of one, after a way through JSON. Raises TypeError, KeyError for others."""
        return cls(**{**values, "environments": tuple(values["environments"])})


@dataclass(frozen=True)
class ConfigurationFile:
    """A fairlead.yaml. source: its name for messages. deployer: who deploys instead of the one that it names.

    known: what an earlier reading found, perhaps of another text.
    """

    text: bytes
    source: str
    deployer: str = ""
    known: Brief | None = None

    @classmethod
    def in_directory(cls, directory: Path) -> Self:
        """The fairlead.yaml of a directory. Raises UnreadableFile."""
        path = directory / layout.CONFIGURATION
        return cls(read_file(path), str(path))

    @cached_property
    def configuration(self) -> "Configuration":
        """All of it. Raises UnreadableFile, InvalidYaml, InvalidSetting."""
        return load_configuration(self.text, self.source).deployed_with(self.deployer)

    @cached_property
    def brief(self) -> Brief:
        """What provisioning needs of it: known, or read now. Raises what `configuration` raises."""
        return self.remembered or Brief.of(self.configuration, self._digest)

    @property
    def remembered(self) -> Brief | None:
        """What is known already, where it is of this very text."""
        return self.known if self.known and self.known.digest == self._digest else None

    @cached_property
    def _digest(self) -> str:
        """Of all that a brief depends on, which is also the Fairlead that reads."""
        return hashlib.sha256(f"{__version__}\n{self.deployer}\n".encode() + self.text).hexdigest()

    def deployed_with(self, deployer: str) -> Self:
        """The same with another deployer."""
        return replace(self, deployer=deployer) if deployer else self
