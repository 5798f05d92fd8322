"""The endpoints, a module for each part of the API. Importing this package registers all of them."""

from fairlead.lab.proxmox_api.routes import (
    access,
    agent,
    cluster,
    configuration,
    machines,
    pools,
    power,
    storage,
    tasks,
)
from fairlead.lab.proxmox_api.routing import PREFIX, ROUTES, answer

__all__ = ["PREFIX", "ROUTES", "access", "agent", "answer", "cluster", "configuration", "machines", "pools", "power",
           "storage", "tasks"]  # fmt: skip
