"""The `command` check: a program of the deployment repository, whose exit code 0 passes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fairlead import process
from fairlead.errors import ProgramFailed, ProgramMissing, ProgramTimedOut
from fairlead.process import NO_SECRETS, Mask
from fairlead.verify.base import Outcome, plain


@dataclass(frozen=True, slots=True)
class CommandCheck:
    """`argv` run in `directory`, the clean export of the release, within `timeout` seconds.

    environment: added to what programs get; none of Fairlead's secrets are among that.
    """

    argv: tuple[str, ...]
    directory: Path
    timeout: float = 60.0
    environment: Mapping[str, str] = field(default_factory=dict)
    mask: Mask = NO_SECRETS

    light = False

    @property
    def name(self) -> str:
        """`command` and its words."""
        return plain(self.mask(f"command {' '.join(self.argv)}"))

    def attempt(self) -> Outcome:
        """Run it once."""
        try:
            process.run(
                self.argv,
                cwd=self.directory,
                environment=self.environment,
                mask=self.mask,
                timeout=self.timeout,
                grace=2.0,
            )
        except ProgramFailed as error:
            return self._failed(f"{error.what.rpartition(' ended with ')[2]}: {error.why or 'no output'}")
        except ProgramTimedOut as error:
            return self._failed(f"no end within {self.timeout:g} s: {error.why or 'no output'}")
        except ProgramMissing as error:
            return self._failed(error.what)
        return Outcome(passed=True, expected="exit code 0", came="exit code 0")

    def _failed(self, came: str) -> Outcome:
        return Outcome(passed=False, expected="exit code 0", came=plain(came))
