"""The secrets that fairlead.yaml names: only that each is there."""

from collections.abc import Iterator

from fairlead.config.models import Configuration
from fairlead.config.secrets import SecretClass, Secrets
from fairlead.errors import FairleadError
from fairlead.pipeline.doctor.fact import Fact, fails


def named(configuration: Configuration, secrets: Secrets) -> Iterator[Fact]:
    """Application secrets, and the control secrets that notifications name."""
    for name in configuration.secrets.application:
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
