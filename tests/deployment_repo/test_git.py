"""git is started in one way, speaks to sound addresses only, and its refusals are understood."""

from pathlib import Path

import pytest

from fairlead.config.secrets import Secret
from fairlead.deployment_repo.bump import bump
from fairlead.deployment_repo.git import Access, Git, GitUrl, branch_name, commit_id, ssh_argv
from fairlead.deployment_repo.message import ImageChange
from fairlead.deployment_repo.repository import Repository, fetch_argv, push_argv
from fairlead.errors import (
    NotARepository,
    RemoteDenied,
    RemoteUnreachable,
    RepositoryError,
    UsageError,
)
from tests.fixtures.git import Site, git, identify, image
from tests.fixtures.git_https import PASSWORD, USER, serve_https

CHANGE = ImageChange("app_image", image("backend", "1.0.0", "a"), image("backend", "1.1.0", "b"))

GOOD_URLS = [
    "https://git.example.com/shop/deploy.git",
    "https://git.example.com:8443/shop/deploy.git",
    "https://$TOKEN@git.example.com/shop/deploy.git",
    "ssh://git@git.example.com:2222/shop/deploy.git",
    "git@git.example.com:shop/deploy.git",
    "file:///srv/git/deploy.git",
    "/srv/git/$HOME/deploy.git",
]
BAD_URLS = [
    "ext::sh -c 'touch canary'",
    "--upload-pack=touch canary",
    "-oProxyCommand=touch canary",
    "ssh://-oProxyCommand=touch/x",
    "git@host:-x",
    "http://git.example.com/deploy.git",
    "git://git.example.com/deploy.git",
    "fd::17",
    "$TOKEN",
    "relative/path",
    "https://git.example.com/a b",
    "https://git.example.com/a\n",
    "https:///path",
    "",
]


@pytest.mark.parametrize("url", GOOD_URLS)
def test_addresses_of_the_three_protocols_are_taken_literally(url: str) -> None:
    assert GitUrl.parse(url).text == url


@pytest.mark.parametrize("url", BAD_URLS)
def test_addresses_that_could_run_a_program_are_refused(url: str) -> None:
    with pytest.raises(NotARepository, match="is not an address that git may use"):
        GitUrl.parse(url)


def test_an_address_never_shows_its_password() -> None:
    url = GitUrl.parse("https://ci:canary-token@git.example.com/deploy.git")
    assert url.password == "canary-token"
    assert "canary-token" not in f"{url} {url!r}"


@pytest.mark.parametrize("name", ["-x", "a..b", "a b", "a//b", "/a", "a/", "a.lock", "", "a:b", "a~1", "a\n"])
def test_branches_cannot_be_options_or_ranges(name: str) -> None:
    with pytest.raises(UsageError, match="is not a branch's name"):
        branch_name(name)


@pytest.mark.parametrize("name", ["HEAD", "--all", "a" * 39, "A" * 40, "a" * 40 + "\n"])
def test_commits_are_full_ids(name: str) -> None:
    with pytest.raises(UsageError, match="is not a full commit id"):
        commit_id(name)


def test_a_fetch_brings_the_branch_by_fast_forward_and_the_notes_as_they_are() -> None:
    assert fetch_argv("origin", "main", "refs/fairlead/origin/main", shallow=True)[-5:] == [
        "--unshallow",
        "--",
        "origin",
        "refs/heads/main:refs/fairlead/origin/main",
        "+refs/notes/fairlead*:refs/notes/fairlead*",
    ]
    assert "--unshallow" not in fetch_argv("origin", "main", "refs/fairlead/origin/main", shallow=False)


def test_a_push_names_what_it_replaces() -> None:
    assert push_argv("origin", "b" * 40, "refs/heads/main", "a" * 40)[-4:] == [
        f"--force-with-lease=refs/heads/main:{'a' * 40}",
        "--",
        "origin",
        f"{'b' * 40}:refs/heads/main",
    ]


def test_ssh_never_prompts_and_offers_only_the_given_key() -> None:
    assert ssh_argv(Access()) == ["ssh", "-oBatchMode=yes"]
    assert ssh_argv(Access(ssh_key=Path("/keys/id"), known_hosts=Path("/keys/known"))) == [
        "ssh",
        "-oBatchMode=yes",
        "-i",
        "/keys/id",
        "-oIdentitiesOnly=yes",
        "-oUserKnownHostsFile=/keys/known",
        "-oStrictHostKeyChecking=yes",
    ]


def test_a_password_is_in_no_argument(tmp_path: Path) -> None:
    tool = Git(tmp_path, Access("ci", Secret(PASSWORD)), ("https://git.example.com/x.git", "git@other:x"))
    argv = " ".join(tool.argv("fetch"))
    assert PASSWORD not in argv
    assert argv.count("extraHeader") == 1
    assert "http.https://git.example.com/.extraHeader=" in argv
    assert PASSWORD not in tool.mask()(f"error: {PASSWORD}")


def test_variables_of_an_outer_git_do_not_lead_elsewhere(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = site.clone("copy")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_WORK_TREE", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    repository = Repository.open(copy)
    repository.fetch()
    assert len(repository.head()) == 40


def test_a_remote_that_would_run_a_program_is_refused(site: Site, tmp_path: Path) -> None:
    copy, canary = site.clone("copy"), tmp_path / "canary"
    git(copy, "remote", "set-url", "origin", f"ext::touch {canary}")
    with pytest.raises(RemoteDenied) as caught:
        Repository.open(copy).fetch()
    assert "https, ssh and files" in caught.value.why
    assert not canary.exists()


def test_a_variable_in_an_address_stays_literal(site: Site) -> None:
    copy = site.clone("copy")
    git(copy, "remote", "set-url", "origin", "file:///$HOME/deploy.git")
    with pytest.raises(NotARepository) as caught:
        Repository.open(copy).fetch()
    assert "/$HOME/deploy.git" in caught.value.why


def test_a_missing_remote_branch_is_named(site: Site) -> None:
    with pytest.raises(NotARepository) as caught:
        Repository.open(site.clone("copy"), branch="release").fetch()
    assert "no such branch: refs/heads/release" in caught.value.why
    assert caught.value.remedy


def test_a_silent_host_is_worth_another_try(site: Site) -> None:
    copy = site.clone("copy")
    git(copy, "remote", "set-url", "origin", "https://127.0.0.1:1/deploy.git")
    with pytest.raises(RemoteUnreachable) as caught:
        Repository.open(copy).fetch()
    assert caught.value.retryable
    git(copy, "remote", "set-url", "origin", "ssh://git@127.0.0.1:1/deploy.git")
    with pytest.raises(RemoteUnreachable):
        Repository.open(copy).fetch()


def test_words_of_git_that_nobody_foresaw_are_shown(site: Site) -> None:
    repository = site.open("copy")
    with pytest.raises(RepositoryError) as caught:
        repository.git.run("no-such-command")
    assert "is not a git command" in caught.value.why


def test_a_bump_over_https_with_the_sites_own_ca(site: Site, tmp_path: Path) -> None:
    copy = identify(site.clone("copy"), "copy")
    with serve_https(tmp_path) as server:
        git(copy, "remote", "set-url", "origin", f"{server.url}/remote.git")
        access = Access(USER, Secret(PASSWORD), ca=server.ca)
        made = bump(Repository.open(copy, access=access), "staging", [CHANGE], "run-1")
        assert site.head == made.commit

        with pytest.raises(RemoteDenied) as denied:
            Repository.open(copy, access=Access(USER, Secret("wrong-password"), ca=server.ca)).fetch()
        assert "refuses the credentials" in denied.value.why
        assert "wrong-password" not in str(denied.value)

        with pytest.raises(RemoteDenied) as untrusted:
            Repository.open(copy, access=Access(USER, Secret(PASSWORD))).fetch()
        assert "certificate" in untrusted.value.why

        git(copy, "remote", "set-url", "origin", f"{server.url}/other.git")
        with pytest.raises(NotARepository, match="failed"):
            Repository.open(copy, access=access).fetch()


def test_a_password_in_the_remotes_address_is_masked(site: Site, tmp_path: Path) -> None:
    copy = site.clone("copy")
    with serve_https(tmp_path) as server:
        host = server.url.removeprefix("https://")
        git(copy, "remote", "set-url", "origin", f"https://{USER}:{PASSWORD}@{host}/remote.git")
        Repository.open(copy, access=Access(ca=server.ca)).fetch()
        git(copy, "remote", "set-url", "origin", f"https://{USER}:{PASSWORD}@{host}/other.git")
        with pytest.raises(NotARepository) as caught:
            Repository.open(copy, access=Access(ca=server.ca)).fetch()
    assert PASSWORD not in str(caught.value)
