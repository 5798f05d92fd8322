"""The blocks of the Jenkinsfile that depend on answers: the environments to choose from, and who needs which secret.

A stage's block of variables is left out whole where it would be empty: Jenkins refuses `environment { }`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from fairlead.scaffold.answers import Answers


def blocks(answers: Answers) -> dict[str, list[str]]:
    """Lines by the name of the block that they replace."""
    return {
        "choice": list(_choice(answers.environments)),
        "registrylogins": list(_environment(_registry_logins(answers))),
        "infrastructure": list(_environment({} if answers.addresses else INFRASTRUCTURE)),
        "deployer": [*(_bound(name, credential) for name, credential in _deployer(answers).items()), REMARK, SEMAPHORE],
    }


INFRASTRUCTURE = {
    "TF_VAR_proxmox_endpoint": "proxmox-url",
    "TF_VAR_proxmox_api_token": "proxmox-api-token",
    "PG_CONN_STR": "pg-conn-str",
}
"""OpenTofu's own variables, and the credentials that they come from."""
REMARK = "// For Semaphore; those above are for Ansible. Delete what the site has no credential for."


def _bound(variable: str, credential: str) -> str:
    return f"{variable} = credentials('{credential}')"


SEMAPHORE = _bound("SEMAPHORE_TOKEN", "semaphore-api-token")


def _choice(environments: Iterable[str]) -> Iterator[str]:
    names = ", ".join(f"'{name}'" for name in environments)
    yield f"choice(name: 'ENVIRONMENT', choices: [{names}], description: 'Where to; the triggers take the first')"


def _registry_logins(answers: Answers) -> dict[str, str]:
    """The registries that a login may be needed for: not those in plain HTTP, which get none."""
    hosts = {image.reference.registry for image in answers.images} - set(answers.plain_http)
    return {f"FAIRLEAD_CONTROL_REGISTRY_{re.sub(r'[^A-Z0-9]', '_', host.upper())}": _id(host) for host in sorted(hosts)}


def _deployer(answers: Answers) -> dict[str, str]:
    application = {f"FAIRLEAD_APPLICATION_{name.upper()}": _id(name) for name in answers.secrets}
    return {"FAIRLEAD_CONTROL_SSH_KEY_FILE": "deploy-ssh-key", **application}


def _id(text: str) -> str:
    """The id of a credential, as people write them."""
    return "".join(letter if letter.isalnum() else "-" for letter in text)


def _environment(variables: Mapping[str, str]) -> Iterator[str]:
    if variables:
        yield "environment {"
        yield from (f"  {_bound(name, credential)}" for name, credential in variables.items())
        yield "}"
