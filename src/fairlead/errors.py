"""Every error that Fairlead raises on purpose.

FairleadError                     what, why, what to do, and a stable code
├── UsageError                    the person must change the call (exit 2)
│   └── ConfigurationError        the person must change a file or a variable (exit 2)
│       ├── UnreadableFile        missing, too large, not text, outside the repository
│       ├── InvalidYaml           not one plain YAML document
│       ├── InvalidSetting        a key or a value that fairlead.yaml does not allow
│       └── MissingSecret         a named secret has no source
├── ProgramError                  a program that Fairlead started
│   ├── ProgramMissing            is not installed
│   ├── ProgramFailed             ended with an unexpected exit code
│   ├── ProgramTimedOut           was stopped at its time limit
│   └── ProgramInterrupted        was stopped because Fairlead was told to stop
├── InvalidReference              a text is not an image reference, a tag or a digest
├── RegistryError                 a registry
│   ├── RegistryUnreachable       does not answer; waiting can help
│   ├── RegistryRateLimited       asks to wait; waiting helps
│   ├── RegistryDenied            refuses the credentials
│   ├── ImageMissing              does not have that repository, tag or digest
│   ├── PlatformMissing           has the image, but not for the machine's platform
│   └── UntrustedAnswer           said something that it must not say
├── RepositoryError               the deployment repository
│   ├── NotARepository            the place is no git repository, or has no such branch
│   ├── RemoteUnreachable         the remote does not answer; waiting can help
│   ├── RemoteDenied              the remote refuses the push or the credentials
│   ├── PushContended             others kept winning the race; waiting helps
│   ├── PinChanged                a person changed the same pin meanwhile and wins
│   ├── RewrittenHistory          the branch was rewritten under a run
│   ├── IdentityMissing           git does not know who commits
│   ├── SigningFailed             signing is asked for and impossible
│   ├── UnsafePath                a path is a link or leaves the repository
│   ├── InvalidPins               images.yml is not a plain list of pins
│   ├── InvalidQuarantine         quarantine.yml is not a list of quarantined images
│   └── ImageQuarantined          an image to be pinned is quarantined there
├── ScaffoldError                 the files that `fairlead init` writes
│   ├── InvalidAnswer             a name or an address that init cannot write into them
│   ├── FilesExist                would be overwritten
│   ├── ScaffoldUnknown           the repository, or its pristine scaffold, is not from `fairlead init`
│   └── ScaffoldConflict          the operator and the new scaffold changed the same lines
├── LabError                      the local lab
│   ├── LabUsage                  a name, a subnet or a component that the lab cannot take
│   ├── LabMissing                there is no such lab, or no such machine in it
│   ├── LabSubnetInUse            another network overlaps the wanted one
│   ├── EngineUnreachable         no Docker engine answers, and none may be started
│   └── MachineUnready            a machine of the lab did not come up
├── ProxmoxError                  the Proxmox site
│   ├── ProxmoxUnreachable        does not answer; waiting can help
│   ├── ProxmoxUntrusted          shows a certificate that is not trusted
│   ├── ProxmoxDenied             refuses the token, or the token lacks a privilege
│   ├── AgentSilent               a machine's guest agent does not answer; waiting can help
│   ├── MachineTaken              a VM that is not this environment's stands where its own belongs
│   ├── MachineNotReady           a machine was made, and cloud-init or ssh did not come up
│   └── HostKeyChanged            a machine has another SSH host key than the one in git
├── ProvisionError                OpenTofu
│   ├── PlanRefused               would destroy or replace a machine, or touch more than the environment's own
│   ├── StateRefused              the state is not the newest one, is locked away by encryption, or was not saved
│   ├── StateUnreachable          the database of the state does not answer; waiting can help
│   ├── LeaseLost                 another holder took the workspace over meanwhile; waiting helps
│   └── OpentofuUnsuitable        too old, or would write secrets into its log (exit 2)
├── SemaphoreError                a Semaphore server
│   ├── SemaphoreUnreachable      does not answer; waiting can help
│   ├── SemaphoreDenied           refuses the token, or what its user may do
│   ├── SemaphoreMissing          does not have that project, template or task
│   └── SemaphoreRefused          answers, but not what was asked for
├── SiteFault                     ssh, an engine, a disk: repeating may help, nothing is rolled back (exit 1)
├── ReleaseFailed                 the release failed and still stands (exit 3)
├── RunStuck                      a run that no repetition brings to an end; a person decides
├── Superseded                    a newer release of the environment is on the branch
├── Busy                          another holder is named (exit 4)
├── Waiting                       what for and since when (exit 5)
└── RolledBack                    the release failed and the previous one is proven again (exit 6)
"""

from typing import ClassVar, Self


class FairleadError(Exception):
    """Something that a person can act on.

    what: the fact, with the place and the value. why: the reason, as far as it is known. remedy: what to do,
    with a command to paste where there is one. `code` is stable and has a section in docs/reference/errors.md;
    `exit_code` is the process's; `retryable` says whether the same call may succeed later without any change.
    """

    code: ClassVar[str]
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, what: str, *, why: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        return ". ".join(part.rstrip(".") for part in (self.what, self.why, self.remedy) if part)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.why, self.remedy))

    def as_problem(self) -> dict[str, object]:
        """The same four parts as an RFC 9457 problem document."""
        return {
            "type": f"urn:fairlead:error:{self.code}",
            "title": self.what,
            "detail": self.why,
            "remedy": self.remedy,
            "code": self.code,
            "retryable": self.retryable,
        }


def _rebuild(kind: type[FairleadError], what: str, why: str, remedy: str) -> FairleadError:
    """Unpickle: an exception's own reduction would lose the keyword parts."""
    return kind(what, why=why, remedy=remedy)


class UsageError(FairleadError):
    """The command was called in a way that cannot work."""

    code = "FL-USAGE"
    exit_code = 2


class ConfigurationError(UsageError):
    """A file or a variable says something that cannot work."""

    code = "FL-CONFIG"


class UnreadableFile(ConfigurationError):
    """A configuration file is missing, too large, not text, or outside the repository."""

    code = "FL-CONFIG-FILE"


class InvalidYaml(ConfigurationError):
    """A file is not one plain YAML document: syntax, duplicate keys, a second document, aliases that explode."""

    code = "FL-CONFIG-YAML"


class InvalidSetting(ConfigurationError):
    """A key that does not exist or a value that is not allowed."""

    code = "FL-CONFIG-SETTING"


class MissingSecret(ConfigurationError):
    """A secret that is named has no source."""

    code = "FL-CONFIG-SECRET"


class ProgramError(FairleadError):
    """A program that Fairlead started did not do its work."""

    code = "FL-PROGRAM"


class ProgramMissing(ProgramError):
    """The program is not installed, or not on PATH."""

    code = "FL-PROGRAM-MISSING"
    exit_code = 2


class ProgramFailed(ProgramError):
    """The program ended with an unexpected exit code."""

    code = "FL-PROGRAM-FAILED"


class ProgramTimedOut(ProgramError):
    """The program was stopped at its time limit."""

    code = "FL-PROGRAM-TIMEOUT"
    retryable = True


class ProgramInterrupted(ProgramError):
    """Fairlead was told to stop, by Ctrl-C, a SIGTERM or a SIGHUP, and stopped what it had started."""

    code = "FL-PROGRAM-INTERRUPTED"
    exit_code = 130
    retryable = True


class InvalidReference(FairleadError):
    """A text is not an image reference, a tag or a digest by the OCI grammar."""

    code = "FL-IMAGE-REFERENCE"
    exit_code = 2


class RegistryError(FairleadError):
    """A registry did not give what was asked of it."""

    code = "FL-REGISTRY"


class RegistryUnreachable(RegistryError):
    """No connection, a TLS failure, a time-out or a 5xx answer."""

    code = "FL-REGISTRY-UNREACHABLE"
    retryable = True


class RegistryRateLimited(RegistryError):
    """The registry answered 429 and says when to come back."""

    code = "FL-REGISTRY-RATE-LIMIT"
    retryable = True


class RegistryDenied(RegistryError):
    """The registry refused the credentials, or wants some and has none."""

    code = "FL-REGISTRY-DENIED"


class ImageMissing(RegistryError):
    """The registry has no such repository, tag or digest."""

    code = "FL-REGISTRY-NOT-FOUND"


class PlatformMissing(RegistryError):
    """The image exists, but not for the machine's platform."""

    code = "FL-REGISTRY-PLATFORM"


class UntrustedAnswer(RegistryError):
    """The registry's answer breaks its specification or a bound: a wrong digest, an endless list, a foreign host."""

    code = "FL-REGISTRY-UNTRUSTED"


class RepositoryError(FairleadError):
    """The deployment repository cannot be read or written."""

    code = "FL-GIT"


class NotARepository(RepositoryError):
    """The place is no git repository, or it lacks the deployment branch or its remote."""

    code = "FL-GIT-REPOSITORY"
    exit_code = 2


class RemoteUnreachable(RepositoryError):
    """The git remote does not answer."""

    code = "FL-GIT-UNREACHABLE"
    retryable = True


class RemoteDenied(RepositoryError):
    """The git remote refuses the credentials or the push (a protected branch, a hook)."""

    code = "FL-GIT-DENIED"


class PushContended(RepositoryError):
    """Other writers won every race for the branch within the bounded number of tries."""

    code = "FL-GIT-CONTENDED"
    retryable = True


class PinChanged(RepositoryError):
    """A person changed the same pin while the bump was made. The person wins."""

    code = "FL-GIT-PIN-CHANGED"


class RewrittenHistory(RepositoryError):
    """The deployment branch was rewritten: what was its head is no longer in its history."""

    code = "FL-GIT-REWRITTEN"


class IdentityMissing(RepositoryError):
    """git does not know who commits."""

    code = "FL-GIT-IDENTITY"
    exit_code = 2


class SigningFailed(RepositoryError):
    """git is configured to sign commits and cannot; nothing was committed."""

    code = "FL-GIT-SIGNING"


class UnsafePath(RepositoryError):
    """A path in the deployment repository is a symbolic link, a submodule, or leaves the repository."""

    code = "FL-GIT-PATH"
    exit_code = 2


class InvalidPins(RepositoryError):
    """An environment's images.yml is not a plain mapping of variables to pins."""

    code = "FL-PINS"
    exit_code = 2


class InvalidQuarantine(RepositoryError):
    """quarantine.yml is not a list of quarantined images."""

    code = "FL-QUARANTINE"
    exit_code = 2


class ImageQuarantined(RepositoryError):
    """An image that is to be pinned failed in that environment before, and nobody has lifted it since."""

    code = "FL-QUARANTINED"


class ScaffoldError(FairleadError):
    """`fairlead init` could not write or update a deployment repository's files."""

    code = "FL-SCAFFOLD"


class InvalidAnswer(ScaffoldError):
    """A name, an image or an address that init cannot write into the files."""

    code = "FL-SCAFFOLD-ANSWER"
    exit_code = 2


class FilesExist(ScaffoldError):
    """init never overwrites: files that it would write are there already."""

    code = "FL-SCAFFOLD-EXISTS"
    exit_code = 2


class ScaffoldUnknown(ScaffoldError):
    """The repository was not written by init, or the scaffold that it was made from cannot be found."""

    code = "FL-SCAFFOLD-UNKNOWN"
    exit_code = 2


class ScaffoldConflict(ScaffoldError):
    """The operator and the new scaffold changed the same lines; nothing was changed."""

    code = "FL-SCAFFOLD-CONFLICT"


class LabError(FairleadError):
    """The local lab could not do what was asked of it."""

    code = "FL-LAB"


class LabUsage(LabError):
    """A name, a subnet or a component that the lab cannot take."""

    code = "FL-LAB-USAGE"
    exit_code = 2


class LabMissing(LabError):
    """There is no such lab, or no such machine in it."""

    code = "FL-LAB-MISSING"
    exit_code = 2


class LabSubnetInUse(LabError):
    """Another network of this machine or of its Docker engine overlaps the wanted subnet."""

    code = "FL-LAB-SUBNET"
    exit_code = 2


class EngineUnreachable(LabError):
    """No Docker engine answers, and Fairlead may not or could not start one."""

    code = "FL-LAB-ENGINE"


class MachineUnready(LabError):
    """A machine or the registry of the lab did not come up in time."""

    code = "FL-LAB-MACHINE"
    retryable = True


class ProxmoxError(FairleadError):
    """Proxmox did not do what was asked of it."""

    code = "FL-PROXMOX"


class ProxmoxUnreachable(ProxmoxError):
    """No connection to the Proxmox API, no answer in time, or a 5xx answer of a proxy before it."""

    code = "FL-PROXMOX-UNREACHABLE"
    retryable = True


class ProxmoxUntrusted(ProxmoxError):
    """The Proxmox API shows a certificate that no trusted authority signed, or that is for another name."""

    code = "FL-PROXMOX-CERTIFICATE"


class ProxmoxDenied(ProxmoxError):
    """The Proxmox API refuses the token, or the token lacks a privilege; it is named."""

    code = "FL-PROXMOX-DENIED"


class AgentSilent(ProxmoxError):
    """The guest agent of a machine does not answer, so nothing can be read inside it."""

    code = "FL-PROXMOX-AGENT"
    retryable = True


class MachineTaken(ProxmoxError):
    """A VM that is not this environment's carries its tag or its number. None is made beside it."""

    code = "FL-MACHINE-TAKEN"


class MachineNotReady(ProxmoxError):
    """A machine was made or restarted, and cloud-init or ssh did not come up in time."""

    code = "FL-MACHINE-NOT-READY"
    retryable = True


class HostKeyChanged(ProxmoxError):
    """A machine that was not just made has another SSH host key than the one in git, or its address gives one."""

    code = "FL-HOST-KEY"


class ProvisionError(FairleadError):
    """OpenTofu did not bring the environment's machine to what the repository says."""

    code = "FL-PROVISION"


class PlanRefused(ProvisionError):
    """A plan would destroy or replace a machine, or touch more than the environment's own. A person allows that one."""

    code = "FL-PLAN-REFUSED"


class StateRefused(ProvisionError):
    """OpenTofu's state cannot be worked on: it is older than one that was seen, encrypted, or was left unsaved."""

    code = "FL-STATE"


class StateUnreachable(ProvisionError):
    """The PostgreSQL database of OpenTofu's state does not answer."""

    code = "FL-STATE-UNREACHABLE"
    retryable = True


class LeaseLost(ProvisionError):
    """The lease of the workspace ran out while it was worked on, and another holder may have it."""

    code = "FL-LEASE-LOST"
    retryable = True


class OpentofuUnsuitable(ProvisionError):
    """OpenTofu is older than 1.10, or is told to log what would show the Proxmox token."""

    code = "FL-OPENTOFU"
    exit_code = 2


class SemaphoreError(FairleadError):
    """A Semaphore server did not do what was asked of it."""

    code = "FL-SEMAPHORE"


class SemaphoreUnreachable(SemaphoreError):
    """No connection, a TLS failure, a time-out, or an answer of 429 or 5xx."""

    code = "FL-SEMAPHORE-UNREACHABLE"
    retryable = True


class SemaphoreDenied(SemaphoreError):
    """The token is not accepted, or its user may not do that."""

    code = "FL-SEMAPHORE-DENIED"


class SemaphoreMissing(SemaphoreError):
    """The project, the template, or something that they are made of is not there."""

    code = "FL-SEMAPHORE-NOT-FOUND"


class SemaphoreRefused(SemaphoreError):
    """The server answers, but refuses the request, or what answers is no Semaphore."""

    code = "FL-SEMAPHORE-REFUSED"


class SiteFault(FairleadError):
    """ssh, an engine, a registry or a disk failed. The release may be good; nothing is rolled back."""

    code = "FL-SITE"
    retryable = True

    @classmethod
    def of(cls, error: OSError) -> Self:
        """What this machine's system refused: a full disk, a missing right, too many open files."""
        place = f": {error.filename}" if error.filename else ""
        return cls(
            f"This machine cannot do it: {error.strerror or error}{place}",
            why="What was pushed before is there",
            remedy="Mend that, and run the command again",
        )


class ReleaseFailed(FairleadError):
    """The release failed and still stands: nothing proven to return to, or `on_failure: hold`."""

    code = "FL-RELEASE-FAILED"
    exit_code = 3


class RunStuck(FairleadError):
    """A run was taken up again and again and never came to an end, or this version cannot go on with it."""

    code = "FL-RUN-STUCK"


class Superseded(FairleadError):
    """A newer release of the environment is on the branch, or was on its machine: this one is not deployed."""

    code = "FL-SUPERSEDED"
    retryable = True


class Busy(FairleadError):
    """Another holder works on the same thing; it is named."""

    code = "FL-BUSY"
    exit_code = 4
    retryable = True


class Waiting(FairleadError):
    """Nothing is wrong; something has to happen first. Says what, and since when."""

    code = "FL-WAITING"
    exit_code = 5
    retryable = True


class RolledBack(FairleadError):
    """The release failed and the previous one is proven again."""

    code = "FL-ROLLED-BACK"
    exit_code = 6
