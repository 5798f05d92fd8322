"""Run one question of the asynchronous client from a test."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fairlead.registry.client import RegistryClient
from tests.fixtures.registry import RegistryServer
from tests.registry.hostile import HostileServer

T = TypeVar("T")


def ask(server: RegistryServer | HostileServer, question: Callable[[RegistryClient], Awaitable[T]], **client: Any) -> T:
    """The answer to a question that a fresh client asks."""

    async def asked() -> T:
        async with RegistryClient(client.pop("registries", server.settings), **client) as fresh:
            return await question(fresh)

    return asyncio.run(asked())
