"""Proofs are lines of git notes that nobody's race or kill loses."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.deployment_repo.bump import Pace, bump
from fairlead.deployment_repo.history import releases
from fairlead.deployment_repo.proofs import TRIES, Proof, Proofs, read_note
from fairlead.deployment_repo.repository import NOTES, Repository
from fairlead.errors import PushContended
from tests.deployment_repo.test_bump import APP, WEB, quick
from tests.fixtures.git import Site, git, make_site

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def proof(commit: str, environment: str = "staging", run: str = "run-1", minutes: int = 0) -> Proof:
    return Proof(
        environment=environment,
        run=run,
        commit=commit,
        digests={"app_image": f"sha256:{'b' * 64}"},
        checks=("http http://10.0.0.5/ answers 200",),
        started=NOON,
        finished=NOON + timedelta(minutes=minutes),
        by="fairlead on ci-1",
    )


def test_a_proof_is_one_line_of_canonical_json() -> None:
    other_zone = proof("a" * 40).model_copy(update={"started": NOON.astimezone(timezone(timedelta(hours=2)))})
    assert proof("a" * 40).line() == other_zone.line()
    assert proof("a" * 40).line() == (
        '{"by":"fairlead on ci-1","checks":["http http://10.0.0.5/ answers 200"],'
        f'"commit":"{"a" * 40}","digests":{{"app_image":"sha256:{"b" * 64}"}},"environment":"staging",'
        '"finished":"2026-11-23T12:00:00Z","run":"run-1","started":"2026-11-23T12:00:00Z","version":1}'
    )


def test_the_reference_page_shows_a_proof_and_every_key() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/proofs.md").read_text()
    (example,) = re.findall(r"^```json\n(.*)\n```$", page, re.MULTILINE)
    assert example == proof("a" * 40).line()
    keys = {key for row in re.findall(r"^\| (`.*`) \|", page, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)}
    assert keys == set(Proof.model_fields)


def test_a_proof_is_there_for_every_clone(site: Site) -> None:
    one, two = site.open("one"), site.open("two")
    added = proof(site.head)
    Proofs(one).add(added)
    assert Proofs(one).read(site.head) == (added,)
    two.fetch()
    assert Proofs(two).read(site.head) == (added,)
    assert Proofs(two).all() == {site.head: (added,)}
    assert git(site.remote, "notes", "--ref=fairlead", "show", site.head) == added.line()
    assert len(site.commits()) == 1


def test_a_repository_with_sha_256_ids_is_as_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DEFAULT_HASH", "sha256")
    site = make_site(tmp_path)
    repository = site.open("copy")
    commit = bump(repository, "staging", [APP], "run-1").commit
    Proofs(repository).add(proof(commit))
    assert len(commit) == 64
    assert Proofs(repository).last_proven("staging") == proof(commit)
    repository.fetch()
    assert [release.fence for release in releases(repository, "staging")] == [2, 1]


def test_lines_are_only_added_and_never_doubled(site: Site) -> None:
    proofs = Proofs(site.open("copy"))
    for each in (proof(site.head, run="run-2"), proof(site.head, run="run-1"), proof(site.head, run="run-2")):
        proofs.add(each)
    lines = git(site.remote, "notes", "--ref=fairlead", "show", site.head).splitlines()
    assert lines == sorted(proof(site.head, run=run).line() for run in ("run-1", "run-2"))
    assert git(site.remote, "rev-list", "--count", NOTES) == "2"


def test_strange_lines_are_ignored_and_kept(site: Site) -> None:
    later = '{"version":2,"environment":"staging","verdict":"fine"}'
    git(site.person, "notes", "--ref=fairlead", "add", "-m", f"hello\n{later}", "HEAD")
    git(site.person, "push", "--quiet", "origin", NOTES)
    proofs = Proofs(site.open("copy"))
    proofs.add(proof(site.head))
    assert proofs.read(site.head) == (proof(site.head),)
    assert {"hello", later} <= set(git(site.remote, "notes", "--ref=fairlead", "show", site.head).splitlines())


def test_a_proof_of_another_commit_proves_nothing() -> None:
    assert read_note(proof("a" * 40).line(), "b" * 40) == ()


@given(st.text(max_size=200))
def test_no_note_makes_reading_fail(text: str) -> None:
    read_note(text, "a" * 40)
    read_note(proof("a" * 40).line().replace("run-1", text), "a" * 40)


def test_the_last_proven_release_of_an_environment(site: Site) -> None:
    repository = site.open("copy")
    repository.fetch()
    proofs = Proofs(repository)
    assert proofs.last_proven("staging") is None
    first = site.head
    proofs.add(proof(first))
    second = bump(repository, "staging", [APP], "run-2").commit
    third = bump(repository, "staging", [WEB], "run-3").commit
    proofs.add(proof(third, run="run-3", minutes=9))
    proofs.add(proof(third, run="run-4", minutes=5))
    proofs.add(proof(second, environment="production"))
    found = {
        "staging": proofs.last_proven("staging"),
        "production": proofs.last_proven("production"),
        "before": proofs.last_proven("staging", before=third),
        "none": proofs.last_proven("staging", before=first),
    }
    assert {name: each and (each.commit, each.run) for name, each in found.items()} == {
        "staging": (third, "run-3"),
        "production": (second, "run-1"),
        "before": (first, "run-1"),
        "none": None,
    }


def test_many_notes_are_found_after_git_fans_them_out(site: Site) -> None:
    start = "commit refs/heads/c{0}\nmark :{1}\ncommitter A <a@example.com> {0} +0000\ndata 0\n"
    commands = [start.format(number, number + 1) for number in range(300)]
    commands.append(f"commit {NOTES}\ncommitter A <a@example.com> 0 +0000\ndata 0\n")
    commands += [f"N inline :{number + 1}\ndata 2\n{{}}\n" for number in range(300)]
    words = ["git", "-C", str(site.person), "fast-import", "--quiet"]
    subprocess.run(words, input="".join(commands).encode(), check=True)
    assert "/" in git(site.person, "ls-tree", "-r", "--name-only", NOTES)
    git(site.person, "push", "--quiet", "origin", NOTES)
    proofs = Proofs(site.open("copy"))
    proofs.add(proof(site.head))
    assert proofs.read(site.head) == (proof(site.head),)
    assert len(git(site.remote, "notes", "--ref=fairlead", "list").splitlines()) == 301


def test_eight_clones_that_prove_at_once_lose_nothing(site: Site) -> None:
    clones = [site.open(f"clone{number}") for number in range(8)]

    def prove(number: int) -> None:
        for turn in range(2):
            Proofs(clones[number], Pace(TRIES, pause=quick)).add(proof(site.head, run=f"run-{number}-{turn}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(prove, range(8)))
    reader = site.open("reader")
    reader.fetch()
    assert len(Proofs(reader).read(site.head)) == 16


def test_proofs_that_always_lose_the_race_say_so(site: Site) -> None:
    person = Proofs(Repository.open(site.person))
    count = 0

    def at(step: str) -> None:
        nonlocal count
        if step == "committed":
            count += 1
            person.add(proof(site.head, run=f"other-{count}"))

    with pytest.raises(PushContended, match="3 other proofs"):
        Proofs(site.open("copy"), Pace(3, quick, at)).add(proof(site.head))


CHILD = """
import os, sys
from pathlib import Path
from fairlead.deployment_repo.bump import Pace
from fairlead.deployment_repo.proofs import Proofs
from fairlead.deployment_repo.repository import Repository
from tests.deployment_repo.test_proofs import proof
def at(step):
    if step == sys.argv[3]:
        os.kill(os.getpid(), 9)
Proofs(Repository.open(Path(sys.argv[1])), Pace(at=at)).add(proof(sys.argv[2]))
"""


@pytest.mark.parametrize("step", ["fetched", "committed", "noted"])
def test_killed_while_proving_and_run_again_there_is_one_proof(site: Site, step: str) -> None:
    copy = site.clone("copy")
    killed = subprocess.run([sys.executable, "-c", CHILD, str(copy), site.head, step], check=False)
    assert killed.returncode == -9
    Proofs(Repository.open(copy)).add(proof(site.head))
    assert git(site.remote, "notes", "--ref=fairlead", "show", site.head) == proof(site.head).line()
    assert git(site.remote, "rev-list", "--count", NOTES) == "1"
    assert git(copy, "status", "--porcelain") == ""
