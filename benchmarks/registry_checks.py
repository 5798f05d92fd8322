"""How fast `detect` looks at images that have not changed, beside the same HTTP client making the same requests.

    python -m benchmarks.registry_checks [--images 200] [--growth 100,1000,10000] [--rounds 5] [--json]

Both sides ask one docker-registry on this machine with eight requests in flight. The election is measured alone:
10,000 tags of 128 characters and a pattern made to be slow. --growth: also passes over so many images of one tag each,
in a process of their own: seconds, requests and memory, after the first pass and after the last.
"""

import asyncio
import itertools
import multiprocessing
import resource
import shutil
import ssl
import tempfile
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx2

from benchmarks.figures import Figure, alternate, arguments, at_least, at_most, show, timed
from fairlead.config.models import Image, Registry
from fairlead.registry.client import ACCEPT, RegistryClient, TagList
from fairlead.registry.connection import Bounds
from fairlead.registry.first_seen import FirstSeenFile
from fairlead.registry.policy import Ballot, elect
from fairlead.registry.watcher import Rules, Watched, look
from tests.fixtures.registry import RegistryServer, docker_registry

AT_ONCE = Bounds().at_once
TRUST = ssl.create_default_context()  # made once: neither side is charged for it
LISTS: dict[str, Any] = {"semver": "*"}
MOVING: dict[str, Any] = {"digest": "1.4.2"}


@dataclass
class Site:
    """A registry with images that are all pinned at what they are."""

    server: RegistryServer
    state: Path
    images: list[tuple[str, str]]

    def watched(self, policy: dict[str, Any]) -> list[Watched]:
        found = []
        for number, (repository, digest) in enumerate(self.images):
            image = Image(repository=f"{self.server.host}/{repository}", policy=policy)
            found.append(Watched(f"image_{number}", image, image.reference.with_tag("1.4.2", digest)))
        return found

    async def fairlead(self, watched: list[Watched]) -> int:
        """One look; how many requests it took."""
        async with RegistryClient(self.server.settings) as client:
            seen = await look(client, watched, Rules(), FirstSeenFile(self.state / "first-seen.json"))
            assert not seen.candidates
            assert not seen.errors
            return client.requests

    async def floor(self, method: str, path: str, headers: dict[str, str]) -> None:
        """The same requests by the client alone."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(client: httpx2.AsyncClient, repository: str) -> None:
            async with slots:
                answer = await client.request(method, f"/v2/{repository}/{path}", headers=headers)
                answer.raise_for_status()

        async with httpx2.AsyncClient(base_url=f"http://{self.server.host}", trust_env=False, verify=TRUST) as client:
            await asyncio.gather(*(one(client, repository) for repository, _ in self.images))


def push(
    server: RegistryServer, number: int, tags: tuple[str, ...] = ("1.0.0", "1.4.1", "1.4.2")
) -> list[tuple[str, str]]:
    """Push images with these tags each."""
    images = []
    for position in range(number):
        repository = f"shop{len(tags)}/app{position}"
        digests = [server.push(repository, tag, content=repository) for tag in tags]
        images.append((repository, digests[-1]))
    return images


def spread(server: RegistryServer, data: Path, number: int) -> list[tuple[str, str]]:
    """One image under so many names: pushed once, then copied in the registry's storage."""
    digest = server.push("spread/app0", "1.4.2")
    repositories = data / "docker/registry/v2/repositories/spread"
    for position in range(1, number):
        shutil.copytree(repositories / "app0", repositories / f"app{position}")
    return [(f"spread/app{position}", digest) for position in range(number)]


def run(question: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(question)


def rates(
    site: Site, name: str, policy: dict[str, Any], request: tuple[str, str, dict[str, str]], rounds: int
) -> Figure:
    """Images per second, beside the floor's."""
    watched = site.watched(policy)
    calls = {"fairlead": lambda: run(site.fairlead(watched)), "floor": lambda: run(site.floor(*request))}
    taken = alternate(calls, rounds=rounds)
    per_second = {side: [len(site.images) / seconds for seconds in taken[side]] for side in taken}
    return Figure(name, "images/s", per_second["fairlead"], per_second["floor"], at_least(0.7))


@dataclass(frozen=True)
class Passes:
    """Looks at so many images in one process. seconds, processor: of each, by the wall's clock and the process's.

    first, last: MiB of memory at most, after each.
    """

    images: int
    seconds: list[float]
    processor: list[float]
    requests: int
    first: float
    last: float


def passes(site: Site, rounds: int) -> Passes:
    """In a process of its own: nothing else is in its memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_passes, (site, rounds))


def _passes(site: Site, rounds: int) -> Passes:
    watched = site.watched(LISTS)
    requests = run(site.fairlead(watched))
    first = _memory()
    seconds, processor = [], []
    for _ in range(rounds):
        begun = time.process_time()
        seconds.append(timed(lambda: run(site.fairlead(watched))))
        processor.append(time.process_time() - begun)
    return Passes(len(site.images), seconds, processor, requests, first, _memory())


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def growth(server: RegistryServer, state: Path, sizes: list[int], rounds: int) -> list[Figure]:
    """Time, requests and memory at each size; what ten times as many images cost; memory from pass to pass."""
    images = spread(server, state / "data", max(sizes))
    found = [passes(Site(server, state, images[:size]), rounds) for size in sizes]
    figures = []
    for one in found:
        figures += [
            Figure(f"pass_over_{one.images}_images", "s", one.seconds),
            Figure(f"processor_for_{one.images}_images", "s", one.processor),
            Figure(
                f"requests_for_{one.images}_images", "requests", [one.requests], goal=at_most(one.images, of="value")
            ),
            Figure(f"memory_for_{one.images}_images", "MiB", [one.last]),
            Figure(f"memory_grown_over_{rounds}_passes_of_{one.images}", "MiB", [one.last - one.first]),
        ]
    for small, large in itertools.pairwise(found):
        for name, of in (("time", "seconds"), ("processor", "processor")):
            each = [median(getattr(large, of)) / large.images / (median(getattr(small, of)) / small.images)]
            title = f"{name}_per_image_{large.images}_by_{small.images}"
            figures.append(Figure(title, "times", each, goal=at_most(1.5, of="value")))
    return figures


def election(rounds: int) -> Figure:
    """Milliseconds of the processor for 10,000 long tags and a pattern that would ruin a backtracking engine."""
    tags = TagList(tuple(("a" * 120 + f"{number:08}") for number in range(10_000)))
    image = Image(repository="registry.example.com/a", policy={"numeric": r"^(a+)+(?P<n>\d+)$"}, exclude=(r"(a|a)*b$",))
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        elect(Ballot(image, tags))
        taken.append(1000 * (time.process_time() - start))
    return Figure("election_of_10000_tags", "ms", taken, goal=at_most(100, of="value"))


def sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--images", type=int, default=200, help="images to look at (default: %(default)s)")
    parser.add_argument(
        "--growth", type=sizes, default=[], help="numbers of images, the smallest first: 100,1000,10000"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, docker_registry(Path(directory)) as host:
        server = RegistryServer(host, Registry(plain_http=True))
        site = Site(server, Path(directory), push(server, options.images))
        run(site.fairlead(site.watched(LISTS)))  # the registry reads its disk once
        figures = [
            rates(site, "registry_checks", LISTS, ("GET", "tags/list?n=1000", {}), options.rounds),
            rates(site, "registry_checks_of_moving_tags", MOVING, ("HEAD", "manifests/1.4.2", ACCEPT), options.rounds),
            Figure(
                "requests_per_unchanged_image",
                "requests",
                [run(site.fairlead(site.watched(LISTS))) / options.images],
                goal=at_most(1, of="value"),
            ),
            election(options.rounds),
        ]
        if options.growth:
            figures += growth(server, Path(directory), options.growth, options.rounds)
    show(figures, as_json=options.json)


if __name__ == "__main__":
    main()
