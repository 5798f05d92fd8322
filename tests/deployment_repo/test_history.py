"""What was released, when, by whom and from which source, from git alone."""

from fairlead.deployment_repo.bump import bump, rollback
from fairlead.deployment_repo.history import releases
from fairlead.deployment_repo.message import Kind
from fairlead.deployment_repo.proofs import Proofs
from fairlead.deployment_repo.repository import Repository
from tests.deployment_repo.test_bump import APP, APP_NEW, APP_OLD, WEB_OLD
from tests.deployment_repo.test_proofs import proof
from tests.fixtures.git import PINS, PRODUCTION, STAGING, Site, git


def subjects(repository: Repository, environment: str, limit: int = 20) -> list[str]:
    repository.fetch()
    return [release.subject for release in releases(repository, environment, limit)]


def test_a_release_has_its_pins_changes_sources_proof_and_fence(site: Site) -> None:
    repository = site.open("copy")
    start = site.head
    bumped = bump(repository, "staging", [APP], "run-1").commit
    Proofs(repository).add(proof(bumped))
    rolled = rollback(repository, "staging", start, bumped, "run-1", reason="slow").commit
    repository.fetch()

    newest, middle, oldest = releases(repository, "staging")

    assert (newest.commit, newest.kind, newest.fence) == (rolled, Kind.ROLLBACK, 3)
    assert newest.images == {"app_image": APP_OLD, "frontend_image": WEB_OLD}
    assert newest.proof is None
    assert newest.message is not None
    assert newest.message.reason == "slow"
    assert (middle.commit, middle.kind, middle.fence, middle.author) == (bumped, Kind.BUMP, 2, "copy")
    assert middle.images["app_image"] == APP_NEW
    assert [(change.name, change.old, change.new) for change in middle.changes] == [("app_image", APP_OLD, APP_NEW)]
    assert middle.revisions == {"app_image": "4be1a07"}
    assert middle.proof == proof(bumped)
    assert middle.time.tzinfo is not None
    assert (oldest.commit, oldest.kind, oldest.fence) == (start, None, 1)
    assert [change.old for change in oldest.changes] == [None, None]
    assert [release.fence for release in (newest, middle, oldest)] == [
        repository.fence(release.commit) for release in (newest, middle, oldest)
    ]
    document = middle.as_json()
    assert document["images"] == {"app_image": str(APP_NEW), "frontend_image": str(WEB_OLD)}
    assert document["run"] == "run-1"


def test_only_what_concerns_the_environment_is_a_release_of_it(site: Site) -> None:
    repository = site.open("copy")
    site.write({"README.md": "words\n"}, "Describe")
    site.write({"deployment/ansible/deploy.yml": "- hosts: all\n"}, "Change the playbook")
    bump(repository, "staging", [APP], "run-1")
    assert subjects(repository, "staging") == ["build(staging): backend 1.0.0 → 1.1.0", "Change the playbook", "Start"]
    assert subjects(repository, "production") == ["Change the playbook", "Start"]
    assert subjects(repository, "staging", limit=1) == ["build(staging): backend 1.0.0 → 1.1.0"]
    assert subjects(repository, "staging", limit=0) == []


def test_a_merge_is_one_release(site: Site) -> None:
    git(site.person, "checkout", "--quiet", "-b", "side")
    for number in range(2):
        (site.person / STAGING).write_text(f"# {number}\n{PINS}")
        git(site.person, "commit", "--quiet", "--all", "-m", f"Side {number}")
    git(site.person, "checkout", "--quiet", "main")
    git(site.person, "merge", "--quiet", "--no-ff", "-m", "Merge the side", "side")
    git(site.person, "push", "--quiet", "origin", "main")
    repository = site.open("copy")
    assert subjects(repository, "staging") == ["Merge the side", "Start"]
    assert [release.fence for release in releases(repository, "staging")] == [4, 1]


def test_hostile_authors_and_unreadable_files_do_not_break_it(site: Site) -> None:
    git(site.person, "config", "user.name", "Eve \x1b[2J\u202e")
    site.write({STAGING: "[broken"}, "Break //\x1b[31m it")
    (site.person / PRODUCTION).unlink()
    (site.person / PRODUCTION).symlink_to("/etc/passwd")
    site.write({}, "Link it")
    repository = site.open("copy")
    repository.fetch()
    broken = releases(repository, "staging")[0]
    assert (broken.author, broken.subject, broken.images) == ("Eve", "Break // it", {})
    assert releases(repository, "production")[0].images == {}
