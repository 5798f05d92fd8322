"""The secrets that fairlead.yaml names: only that each is there."""

from collections.abc import Iterator

from fairlead.config.models import Configuration, SemaphoreDeploy
from fairlead.config.secrets import SecretClass, Secrets
from fairlead.errors import FairleadError
from fairlead.pipeline.doctor.fact import Fact, fails


def named(configuration: Configuration, secrets: Secrets) -> Iterator[Fact]:
    """Application secrets, which Semaphore has itself, and the control secrets that notifications name."""
    by_semaphore = isinstance(configuration.deploy, SemaphoreDeploy)
    for name in configuration.secrets.application if not by_semaphore else ():
        yield _there(secrets, SecretClass.APPLICATION, name)
    for name in dict.fromkeys(notification.secret for notification in configuration.notify):
        yield _there(secrets, SecretClass.CONTROL, name)


def _there(secrets: Secrets, kind: SecretClass, name: str) -> Fact:
    fact = f"secret {kind}/{name}"
    try:
        secrets.get(kind, name)
    except FairleadError as error:
        return fails(fact, error)
    return Fact(fact, True, "is there")
