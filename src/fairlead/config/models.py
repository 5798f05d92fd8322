"""fairlead.yaml as types. docs/reference/fairlead.yaml is the annotated example that tests load.

Below every setting stands a sentence: the schema, the editor and the reference page show it (config/schema.py).
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from fairlead.config.values import (
    Address,
    AppName,
    BranchName,
    CalverFormat,
    Directory,
    Duration,
    EnvironmentName,
    FilePath,
    Freeze,
    GitUrl,
    HttpUrl,
    MovingTag,
    Name,
    NumericPattern,
    Pattern,
    Platform,
    RegistryName,
    RepositoryName,
    SemverRange,
    UserName,
    VariableName,
    invalid,
    print_duration,
)
from fairlead.errors import InvalidSetting
from fairlead.images import ImageReference

FOLLOWS_IMAGES = "images"
SHORTEST_POLL = timedelta(seconds=5)
_EXPRESSION = re.compile(r"\{([^{}]*)\}")
_EXPRESSION_NAMES = ("vm_ip", "environment", "app", "commit")
_IMAGE_PARTS = ("tag", "digest", "repository")


class Setting(BaseModel):
    """A mapping in fairlead.yaml. Unknown keys are errors that name the nearest known key."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            known = {field.alias or name for name, field in cls.model_fields.items()} | set(cls.model_fields)
            for key in value:
                if key not in known:
                    raise unknown_key(str(key), sorted(field.alias or name for name, field in cls.model_fields.items()))
        return value


def unknown_key(key: str, known: list[str]) -> PydanticCustomError:
    """A key that does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(key, known, n=1)
    remedy = f"Did you mean {near[0]}?" if near else f"Known keys: {', '.join(known)}"
    return PydanticCustomError("unknown_key", "{why}", {"why": "is not a setting", "remedy": remedy, "key": key})


class Git(Setting):
    """The deployment repository's own place."""

    branch: BranchName = "main"
    """The deployment branch: bumps are pushed to it, releases are its commits."""
    url: GitUrl | None = None
    """Where the daemon clones from; commands in a checkout use its own remote."""


class Registry(Setting):
    """How to talk to one registry. Only what differs from the defaults: HTTPS, verified by the system's CAs."""

    ca: FilePath | None = None
    """A CA certificate (PEM), as a path in the deployment repository."""
    plain_http: bool = False
    """Talk HTTP without TLS. For a lab."""
    allow_hosts: tuple[RegistryName, ...] = ()
    """Other hosts that this registry's token service, pages and redirects may point to."""


class SemverPolicy(Setting):
    """The highest semantic version in a range."""

    semver: SemverRange
    """A range: `^1.4`, `~1.4.2`, `>=1.0 <3`, `26.x`, `*`."""
    prereleases: bool = False
    """Also elect pre-releases such as 2.0.0-rc.1."""

    def __str__(self) -> str:
        return f"semver {self.semver}"


class CalverPolicy(Setting):
    """The newest calendar version."""

    calver: CalverFormat
    """A format: `YYYY.MM.DD`, `YYYY.0M.MICRO`, `YYYY.MM.DD-MODIFIER`."""

    def __str__(self) -> str:
        return f"calver {self.calver}"


class NumericPolicy(Setting):
    """The highest number in the tag."""

    numeric: NumericPattern
    r"""An RE2 pattern over the whole tag with one named group: `^build-(?P<n>\d+)$`."""

    def __str__(self) -> str:
        return f"numeric {self.numeric}"


class AlphabeticalPolicy(Setting):
    """The last (or first) tag in the order of ASCII."""

    alphabetical: Literal["asc", "desc"]
    """`asc`: the last tag is the newest. `desc`: the first tag is the newest."""

    def __str__(self) -> str:
        return f"alphabetical {self.alphabetical}"


class DigestPolicy(Setting):
    """Follow a moving tag by its digest."""

    digest: MovingTag
    """The tag to follow, such as `17` or `latest`."""

    def __str__(self) -> str:
        return f"digest {self.digest}"


_POLICIES: Mapping[str, type[BaseModel]] = {
    "semver": SemverPolicy,
    "calver": CalverPolicy,
    "numeric": NumericPolicy,
    "alphabetical": AlphabeticalPolicy,
    "digest": DigestPolicy,
}


def _kind(value: Any, known: Mapping[str, type[BaseModel]]) -> str | None:
    """Which of the kinds a `{kind: ...}` mapping, or an instance, is."""
    if isinstance(value, BaseModel):
        return next(name for name, model in known.items() if isinstance(value, model))
    return next((name for name in known if name in value), None) if isinstance(value, Mapping) else None


def _require_kind(known: Mapping[str, type[BaseModel]], what: str) -> BeforeValidator:
    """Refuse a `{kind: ...}` mapping of no known kind; say which kinds there are."""

    def check(value: Any) -> Any:
        if _kind(value, known):
            return value
        if isinstance(value, Mapping) and value:
            raise unknown_key(str(next(iter(value))), list(known))
        raise invalid(f"is not {what}", f"Write one of {', '.join(known)}")

    return BeforeValidator(check)


Policy = Annotated[
    Annotated[SemverPolicy, Tag("semver")]
    | Annotated[CalverPolicy, Tag("calver")]
    | Annotated[NumericPolicy, Tag("numeric")]
    | Annotated[AlphabeticalPolicy, Tag("alphabetical")]
    | Annotated[DigestPolicy, Tag("digest")],
    Discriminator(lambda value: _kind(value, _POLICIES)),
    _require_kind(_POLICIES, "a tag policy"),
]


class Image(Setting):
    """An image that Fairlead watches. Its key is the Ansible variable that the Compose template uses."""

    repository: RepositoryName
    """The image's name without a tag: `registry.example.com/team/app`."""
    policy: Policy
    """The rule that elects one tag."""
    include: tuple[Pattern, ...] = ()
    """RE2 patterns: only tags that one of them finds are looked at."""
    exclude: tuple[Pattern, ...] = ()
    """RE2 patterns: tags that one of them finds are left out."""
    platform: Platform = "linux/amd64"
    """The machine's platform; an image without it is refused."""
    cooldown: Duration | None = None
    """Adopt a tag only when it is this old. Default: `release.cooldown`."""

    @property
    def reference(self) -> ImageReference:
        """The repository as a reference."""
        return ImageReference.parse(self.repository)


class Release(Setting):
    """When images become a release."""

    settle: Duration = timedelta(seconds=20)
    """Images pushed together become one release: look again after this until two looks agree."""
    together: tuple[Name, ...] = ()
    """Images that are released with one tag: the newest that all of them have, or none."""
    deadline: Duration = timedelta(minutes=15)
    """After this long say loudly which image of `together` is missing; still no half release."""
    cooldown: Duration = timedelta(0)
    """Adopt a tag only when it is this old."""


class Environment(Setting):
    """One VM, one OpenTofu workspace, one .tfvars file, one Ansible group."""

    follows: str = FOLLOWS_IMAGES
    """`images`: the newest release that the policies allow. An environment: what that one has proven."""
    soak: Duration | None = None
    """How long a release must have been proven in the environment that is followed."""
    approval: Literal["required"] | None = None
    """A person approves each release."""
    freeze: tuple[Freeze, ...] = ()
    """Times of the week without releases: `Fri 16:00 - Mon 08:00 Europe/Rome`."""
    on_failure: Literal["rollback", "hold"] | None = None
    """What a failed release leads to here. Default: the top-level `on_failure`."""


class OpentofuProvision(Setting):
    """OpenTofu makes the environment's VM."""

    by: Literal["opentofu"] = Field(default="opentofu", alias="with")
    """Who provisions."""
    refresh_after: Duration = timedelta(hours=24)
    """Plan against reality at least this often, even when nothing changed."""


class StaticProvision(Setting):
    """The machines exist."""

    by: Literal["static"] = Field(alias="with")
    """Who provisions."""
    addresses: dict[EnvironmentName, Address] = {}
    """The address of each environment's machine."""


class AnsibleDeploy(Setting):
    """Ansible deploys, in a child process."""

    by: Literal["ansible"] = Field(default="ansible", alias="with")
    """Who deploys."""
    directory: Directory = "/opt/app"
    """Where the application lives on the machine."""
    user: UserName = "deploy"
    """The machine's user for SSH; it needs sudo."""
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    """The machine's SSH port."""


class SemaphoreDeploy(AnsibleDeploy):
    """Semaphore deploys, running the same playbook."""

    by: Literal["semaphore"] = Field(alias="with")  # type: ignore[assignment]
    """Who deploys."""
    project: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Semaphore's project. Default: the application's name."""
    template: Annotated[str, Field(min_length=1, max_length=100)] = "deploy {environment}"
    """Semaphore's template that runs deploy.yml; `{environment}` is filled in."""
    inspection: Annotated[str, Field(min_length=1, max_length=100)] = "inspect {environment}"
    """Semaphore's template that runs inspect.yml; `{environment}` is filled in."""
    deadline: Duration = timedelta(hours=1)
    """How long a task may run; then Semaphore is asked to stop it."""
    patience: Duration = timedelta(minutes=10)
    """How long a task may wait before it runs, and how long Semaphore may be away meanwhile."""


class HttpCheck(Setting):
    """An HTTP request from outside the machine."""

    http: "HttpRequest"
    """The request and the answer that is right."""


class HttpRequest(Setting):
    """What is asked, and what must be answered."""

    url: HttpUrl
    """`{vm_ip}`, `{environment}`, `{app}`, `{commit}` and `{app_image.tag}` are filled in."""
    status: Annotated[int, Field(ge=100, le=599)] = 200
    """The status that is right."""
    json_: dict[str, str | int | float | bool] | None = Field(default=None, alias="json")
    """Fields that the JSON answer must have."""
    contains: str | None = None
    """Text that the answer must contain."""
    headers: dict[str, str] = {}
    """Headers that the answer must have."""
    timeout: Duration = timedelta(seconds=5)
    """How long one request may take."""
    ca: FilePath | None = None
    """A CA certificate (PEM), as a path in the deployment repository."""


class RunningDigestsCheck(Setting):
    """Every container runs the digest that git pins."""

    running_digests: dict[str, Any] = Field(default={}, max_length=0)
    """No settings: `{}`."""


class CommandCheck(Setting):
    """A program of the deployment repository; exit code 0 passes."""

    command: "CommandRun"
    """What is run."""


class CommandRun(Setting):
    """A program, run from the repository's root in a clean export of the release's commit."""

    run: Annotated[tuple[str, ...], Field(min_length=1)]
    """The program and its arguments; no shell. Expressions as in `http.url`."""
    timeout: Duration = timedelta(seconds=60)
    """How long it may take."""


_CHECKS: Mapping[str, type[BaseModel]] = {
    "http": HttpCheck,
    "running_digests": RunningDigestsCheck,
    "command": CommandCheck,
}
Check = Annotated[
    Annotated[HttpCheck, Tag("http")]
    | Annotated[RunningDigestsCheck, Tag("running_digests")]
    | Annotated[CommandCheck, Tag("command")],
    Discriminator(lambda value: _kind(value, _CHECKS)),
    _require_kind(_CHECKS, "a check"),
]


class Verify(Setting):
    """How a deployed release is verified."""

    retries: Annotated[int, Field(ge=1, le=1000)] = 10
    """Attempts of each check."""
    delay: Duration = timedelta(seconds=15)
    """Between attempts; the first is at once."""
    stable_for: Duration = timedelta(0)
    """A new release must still pass after this; not asked of a release proven before."""
    checks: tuple[Check, ...] = (RunningDigestsCheck(),)
    """What must pass."""


class SecretNames(Setting):
    """Names of secrets; values are never in git."""

    application: tuple[VariableName, ...] = ()
    """Ansible variables that are secret: `postgres_password`."""


class Notification(Setting):
    """Where to tell people."""

    secret: Name
    """The control secret that holds the Apprise address."""


_PROVISIONERS = ("opentofu", "static")
_DEPLOYERS = ("ansible", "semaphore")
_CONNECTION = ("directory", "user", "port")  # the settings of every deployer


def _with(value: Any, known: tuple[str, ...]) -> str:
    """Which implementation a `with:` names; the first is the default."""
    chosen = getattr(value, "by", None) or (value.get("with", known[0]) if isinstance(value, Mapping) else known[0])
    return str(chosen)


def _require_with(known: tuple[str, ...]) -> BeforeValidator:
    def check(value: Any) -> Any:
        if _with(value, known) not in known:
            raise invalid(f"is not one of {', '.join(known)}", f"Write {{with: {known[0]}}}")
        return value

    return BeforeValidator(check)


class Configuration(Setting):
    """fairlead.yaml, at the root of the deployment repository."""

    app: AppName
    """The application's name."""
    git: Git = Git()
    """The deployment repository's own place."""
    registries: dict[RegistryName, Registry] = {}
    """Only what differs from the defaults."""
    images: Annotated[dict[VariableName, Image], Field(min_length=1)]
    """Key: the Ansible variable that the Compose template uses."""
    release: Release = Release()
    """When images become a release."""
    environments: Annotated[dict[EnvironmentName, Environment], Field(min_length=1)]
    """One VM each."""
    poll: Duration = timedelta(minutes=15)
    """How often registries are asked; a webhook makes it seconds."""
    provision: Annotated[
        Annotated[OpentofuProvision, Tag("opentofu")] | Annotated[StaticProvision, Tag("static")],
        Discriminator(lambda value: _with(value, _PROVISIONERS)),
        _require_with(_PROVISIONERS),
    ] = OpentofuProvision()
    """Who makes the VM."""
    deploy: Annotated[
        Annotated[AnsibleDeploy, Tag("ansible")] | Annotated[SemaphoreDeploy, Tag("semaphore")],
        Discriminator(lambda value: _with(value, _DEPLOYERS)),
        _require_with(_DEPLOYERS),
    ] = AnsibleDeploy()
    """Who deploys."""
    secrets: SecretNames = SecretNames()
    """Names only."""
    verify: Verify = Verify()
    """How a deployed release is verified."""
    on_failure: Literal["rollback", "hold"] = "rollback"
    """`rollback`: return to the last proven release. `hold`: stop and say so."""
    notify: tuple[Notification, ...] = ()
    """Where to tell people."""

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for position, name in enumerate(self.release.together):
            _require(name, list(self.images), "an image", ("release", "together", position))
        for name, environment in self.environments.items():
            if environment.follows != FOLLOWS_IMAGES:
                place = ("environments", name, "follows")
                _require(environment.follows, [FOLLOWS_IMAGES, *self.environments], "an environment", place)
            self._refuse_circle(name)
        if isinstance(self.provision, StaticProvision):
            for name in self.provision.addresses:
                _require(name, list(self.environments), "an environment", ("provision", "addresses", name))
        return self

    @model_validator(mode="after")
    def _secrets_are_no_images(self) -> Self:
        for position, name in enumerate(self.secrets.application):
            if name in self.images:
                raise _at(("secrets", "application", position), "is an image of this file", "Give it another name")
        return self

    @model_validator(mode="after")
    def _registries_get_a_pause(self) -> Self:
        if self.poll < SHORTEST_POLL:
            raise _at(("poll",), "asks registries without a pause", f"Write {print_duration(SHORTEST_POLL)} or longer")
        return self

    def _refuse_circle(self, name: str) -> None:
        seen = [name]
        while (name := self.environments[name].follows) != FOLLOWS_IMAGES and name in self.environments:
            seen.append(name)
            if name == seen[0]:
                why = f"follows in a circle: {' → '.join(seen)}"
                raise _at(("environments", name, "follows"), why, "Let one of them follow images")
            if len(seen) > len(self.environments):
                return

    @model_validator(mode="after")
    def _expressions_exist(self) -> Self:
        for place, text in self._texts_with_expressions():
            for expression in _EXPRESSION.findall(text):
                if not self._is_expression(expression):
                    known = [f"{{{name}}}" for name in (*_EXPRESSION_NAMES, f"{next(iter(self.images))}.tag")]
                    raise _at(place, f"names {{{expression}}}, which is not known", f"Known: {', '.join(known)}")
        return self

    def _is_expression(self, expression: str) -> bool:
        image, _, part = expression.partition(".")
        return expression in _EXPRESSION_NAMES or (image in self.images and part in _IMAGE_PARTS)

    def _texts_with_expressions(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for position, check in enumerate(self.verify.checks):
            place = ("verify", "checks", position)
            match check:
                case HttpCheck(http=request):
                    yield (*place, "http", "url"), request.url
                    for key, value in (request.json_ or {}).items():
                        yield (*place, "http", "json", key), str(value)
                    yield (*place, "http", "contains"), request.contains or ""
                    for key, value in request.headers.items():
                        yield (*place, "http", "headers", key), value
                case CommandCheck(command=command):
                    for index, word in enumerate(command.run):
                        yield (*place, "command", "run", index), word

    def cooldown(self, image: str) -> timedelta:
        """How old a tag of this image must be."""
        own = self.images[image].cooldown
        return self.release.cooldown if own is None else own

    def deployed_with(self, deployer: str) -> Self:
        """The same with another deployer (`--with`): settings that both have are kept. Raises InvalidSetting."""
        if deployer in ("", self.deploy.by):
            return self
        if deployer not in _DEPLOYERS:
            raise InvalidSetting(
                f"{deployer!r} is no deployer", remedy=f"--with, or FAIRLEAD_DEPLOY_WITH: {', '.join(_DEPLOYERS)}"
            )
        kept = {name: getattr(self.deploy, name) for name in self.deploy.model_fields_set & set(_CONNECTION)}
        kind = SemaphoreDeploy if deployer == "semaphore" else AnsibleDeploy
        return self.model_copy(update={"deploy": kind.model_validate({"with": deployer, **kept})})

    def on_failure_in(self, environment: str) -> Literal["rollback", "hold"]:
        """What a failed release leads to in this environment."""
        return self.environments[environment].on_failure or self.on_failure


def _require(name: str, known: list[str], what: str, place: tuple[str | int, ...]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        remedy = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}"
        raise _at(place, f"is not {what} of this file", remedy)


def _at(place: tuple[str | int, ...], why: str, remedy: str) -> PydanticCustomError:
    """A refusal found while looking at the whole file: carries its own place."""
    return PydanticCustomError("value", "{why}", {"why": why, "remedy": remedy, "place": place})
