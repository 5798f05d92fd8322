"""One bump, beside the same commit made by hand: `git fetch`, edit the file, `git commit`, `git push`.

Both work in their own working copy on their own branch of one bare repository, over file://, where the network hides
nothing. Fairlead also checks the file, writes trailers, looks for the run's earlier commit and brings the checkout
forward.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, alternate, arguments, at_most, show
from fairlead.config import layout
from fairlead.deployment_repo.bump import bump
from fairlead.deployment_repo.message import ImageChange
from fairlead.deployment_repo.repository import Repository
from fairlead.images import ImageReference

IMAGES = layout.images_file("staging")


def image(number: int) -> ImageReference:
    """The image of one round."""
    return ImageReference("registry.example.com", "shop/backend", f"1.0.{number}", f"sha256:{number:064x}")


def git(directory: Path, *words: str) -> None:
    """git as a person runs it."""
    subprocess.run(["git", "-C", str(directory), *words], check=True, capture_output=True)


def make_copies(root: Path) -> tuple[Path, Path]:
    """A bare repository with the branches main and by-hand, and a working copy for each."""
    remote = root / "remote.git"
    git(root, "init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    copies = []
    for branch in ("main", "by-hand"):
        copy = root / branch
        git(root, "init", "--quiet", f"--initial-branch={branch}", str(copy))
        git(copy, "config", "user.name", "Bench")
        git(copy, "config", "user.email", "bench@example.com")
        git(copy, "remote", "add", "origin", remote.as_uri())
        for number in range(200):  # a repository of an ordinary size
            write(copy, f"deployment/ansible/roles/role{number % 20}/file{number}.yml", f"value: {number}\n")
        write(copy, IMAGES, f"# The pins of staging.\napp_image: {image(0)}\n")
        git(copy, "add", "--all")
        git(copy, "commit", "--quiet", "-m", "Start")
        git(copy, "push", "--quiet", "--set-upstream", "origin", branch)
        copies.append(copy)
    return copies[0], copies[1]


def write(copy: Path, path: str, content: str) -> None:
    """A file of the working copy."""
    place = copy / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(content)


def by_fairlead(copy: Path, numbers: Iterator[int]) -> None:
    """Everything that `fairlead bump` does with git."""
    number = next(numbers)
    change = ImageChange("app_image", image(number - 1), image(number), "semver >=1.0")
    bump(Repository.open(copy), "staging", [change], f"run-{number}")


def by_hand(copy: Path, numbers: Iterator[int]) -> None:
    """The least that makes the same commit."""
    git(copy, "fetch", "--quiet", "origin")
    text = (copy / IMAGES).read_text()
    number = next(numbers)
    write(copy, IMAGES, text.replace(str(image(number - 1)), str(image(number))))
    git(copy, "commit", "--quiet", "--all", "-m", f"Bump to 1.0.{number}")
    git(copy, "push", "--quiet", "origin", "HEAD")


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, rounds=15).parse_args()
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-") as root:
        ours, theirs = make_copies(Path(root))
        our_numbers, their_numbers = iter(range(1, 10_000)), iter(range(1, 10_000))
        by_fairlead(ours, our_numbers)  # imports, and both sides' first fetch
        by_hand(theirs, their_numbers)
        calls = {"ours": lambda: by_fairlead(ours, our_numbers), "floor": lambda: by_hand(theirs, their_numbers)}
        taken = alternate(calls, rounds=options.rounds)
    milliseconds = {name: [seconds * 1000 for seconds in rounds] for name, rounds in taken.items()}
    figure = Figure("bump", "ms", milliseconds["ours"], milliseconds["floor"], at_most(1.5))
    show([figure], as_json=options.json)


if __name__ == "__main__":
    main()
