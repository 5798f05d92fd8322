"""Commits are read and made without the working tree, from every kind of clone."""

import fcntl
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.deployment_repo.git import GitUrl
from fairlead.deployment_repo.repository import NOTES, Entry, Repository, import_stream
from fairlead.errors import (
    Busy,
    IdentityMissing,
    NotARepository,
    RemoteDenied,
    RepositoryError,
    RewrittenHistory,
    SigningFailed,
    UnsafePath,
    UsageError,
)
from tests.fixtures.git import STAGING, Site, git

HELLO = {"hello.txt": Entry(b"hello\n")}


def push(repository: Repository, files: dict[str, Entry], message: str = "Change\n") -> str:
    """Fetch, commit and push, as a release does."""
    repository.fetch()
    head = repository.head()
    commit = repository.commit(head, files, message)
    assert repository.push(commit, head)
    return commit


def test_a_ci_checkout_is_shallow_detached_and_without_notes_and_that_does_not_matter(site: Site) -> None:
    for number in range(4):
        site.write({"README.md": f"{number}\n"})
    git(site.person, "notes", "--ref=fairlead", "add", "-m", "{}", "HEAD")
    git(site.person, "push", "--quiet", "origin", "refs/notes/fairlead")
    copy = site.clone("ci", "--depth=1")
    git(copy, "checkout", "--quiet", "--detach")
    latest = site.write({"README.md": "newer than the checkout\n"})

    repository = Repository.open(copy)
    with pytest.raises(RepositoryError, match="shallow"):
        repository.fence(git(copy, "rev-parse", "HEAD"))
    repository.fetch()

    assert repository.head() == latest
    assert repository.fence(latest) == 6
    assert git(copy, "notes", "--ref=fairlead", "list")
    assert push(repository, HELLO) == site.head
    assert git(copy, "status", "--porcelain") == ""


def test_an_own_clone_is_made_once_and_used_again(site: Site, tmp_path: Path) -> None:
    place = tmp_path / "state" / "clone"
    first = Repository.clone(GitUrl.parse(site.url), place)
    latest = site.write({"README.md": "more\n"})
    again = Repository.clone(GitUrl.parse(site.url), place)
    assert (first.checkout, again.head()) == (None, latest)
    assert again.catch_up(latest) == ""


def test_an_own_clone_is_not_written_again_when_it_is_opened(site: Site, tmp_path: Path) -> None:
    """All environments of an address share it, and git does not wait for another's lock of these files: it fails."""
    place = tmp_path / "clone"
    Repository.clone(GitUrl.parse(site.url), place)
    (place / "config.lock").touch()
    assert Repository.clone(GitUrl.parse(site.url), place).head() == site.head
    assert (place / "config.lock").exists()


def test_an_own_clone_whose_making_was_killed_is_made(site: Site, tmp_path: Path) -> None:
    place = tmp_path / "clone"
    git(tmp_path, "init", "--quiet", "--bare", str(place))
    (place / "HEAD").rename(place / "HEAD.lock")
    (place / "config").rename(place / "config.lock")
    assert Repository.clone(GitUrl.parse(site.url), place).head() == site.head


def test_an_own_clone_that_many_open_at_once_is_made_by_one_after_another(site: Site, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = [pool.submit(Repository.clone, GitUrl.parse(site.url), tmp_path / "clone") for _ in range(4)]
    assert {each.result().head() for each in opened} == {site.head}


def test_an_own_clone_never_stores_a_password(tmp_path: Path) -> None:
    with pytest.raises(NotARepository) as caught:
        Repository.clone(GitUrl.parse("https://ci:canary-token@git.example.com/x.git"), tmp_path / "clone")
    assert "canary-token" not in str(caught.value)
    assert not (tmp_path / "clone").exists()


def test_a_place_without_a_repository_or_a_remote_is_named(tmp_path: Path, site: Site) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotARepository, match="failed"):
        Repository.open(tmp_path / "empty")
    with pytest.raises(NotARepository, match="failed"):
        Repository.open(tmp_path / "absent")
    with pytest.raises(NotARepository, match="has no remote upstream"):
        Repository.open(site.person, remote="upstream")
    with pytest.raises(UsageError, match="is not a remote's name"):
        Repository.open(site.person, remote="--upload-pack=x")


def test_a_directory_below_the_top_is_as_good(site: Site) -> None:
    repository = Repository.open(site.person / "deployment" / "ansible")
    repository.fetch()
    assert repository.checkout == site.person
    assert repository.read(repository.head(), "README.md") == b"The shop\n"


def test_a_commit_has_the_new_bytes_and_leaves_the_working_tree_alone(site: Site) -> None:
    repository = site.open("copy")
    content = bytes(range(256)) * 300 + b"\r\nno newline at the end"
    commit = push(repository, {"deep/er/file.bin": Entry(content), STAGING: Entry(b"")})
    assert repository.read(commit, "deep/er/file.bin") == content
    assert repository.read(commit, STAGING) == b""
    assert repository.read(commit, "README.md") == b"The shop\n"
    assert repository.changed_paths(f"{git(site.remote, 'rev-parse', 'main~1')}", commit) == [
        "deep/er/file.bin",
        STAGING,
    ]
    checkout = Path(str(repository.checkout))
    assert not (checkout / "deep").exists()
    assert git(checkout, "for-each-ref", "refs/fairlead").count("\n") == 0  # only the tracking ref; no draft is left


def test_what_was_taken_back_is_touched_all_the_same(site: Site) -> None:
    start = site.head
    site.write({"odd\nname": "1", "README.md": "Other\n"})
    site.write({"README.md": "The shop\n"})
    repository = site.open("copy")
    repository.fetch()
    assert repository.changed_paths(start, site.head) == ["odd\nname"]
    assert repository.touched_paths(start, site.head) == ["README.md", "odd\nname"]
    assert repository.touched_paths(site.head, site.head) == []


def test_a_merge_touches_what_it_brings(site: Site) -> None:
    start, copy = site.head, site.clone("copy")
    (copy / "mine").write_text("1")
    git(copy, "add", "mine")
    git(copy, "commit", "--quiet", "-m", "Mine")
    site.write({"theirs": "1"})
    git(copy, "pull", "--quiet", "--no-rebase", "--no-edit", "origin", "main")
    git(copy, "push", "--quiet", "origin", "HEAD:main")
    repository = site.open("reader")
    repository.fetch()
    assert repository.touched_paths(start, site.head) == ["mine", "theirs"]


def test_a_files_mode_is_kept(site: Site) -> None:
    script = site.person / "smoke.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    commit = site.write({})
    repository = site.open("copy")
    repository.fetch()
    entry = repository.entry(commit, "smoke.sh")
    assert entry == Entry(b"#!/bin/sh\n", "100755")
    push(repository, {"smoke.sh": Entry(b"#!/bin/sh\nexit 0\n", entry.mode)})
    assert git(site.remote, "ls-tree", "main", "smoke.sh").startswith("100755 blob")


def test_what_is_not_there_reads_as_none(site: Site) -> None:
    repository = site.open("copy")
    repository.fetch()
    head = repository.head()
    for path in ("absent", "README.md/below", "deployment", "deployment/absent/file"):
        assert repository.read(head, path) is None


def test_links_and_submodules_are_refused(site: Site) -> None:
    (site.person / "link").symlink_to("/etc/passwd")
    (site.person / "folder").symlink_to("deployment")
    git(site.person, "update-index", "--add", "--cacheinfo", f"160000,{site.head},module")
    (site.person / "module").mkdir()
    git(site.person, "add", "link", "folder")
    git(site.person, "commit", "--quiet", "-m", "Links")
    git(site.person, "push", "--quiet", "origin", "main")
    repository = site.open("copy")
    repository.fetch()
    head = repository.head()
    for path, kind in {"link": "symbolic link", f"folder/{STAGING}": "symbolic link", "module": "submodule"}.items():
        with pytest.raises(UnsafePath, match=f"is a {kind}") as caught:
            repository.read(head, path)
        assert caught.value.remedy


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../b", "a//b", "", ".git/config", "a/.GIT/hooks", "a\nb", "a\0b", 'a"b', "./a"]
)
def test_paths_that_leave_the_repository_are_refused(site: Site, path: str) -> None:
    repository = Repository.open(site.person)
    with pytest.raises(UnsafePath, match="is not a path inside the repository"):
        repository.read("a" * 40, path)
    with pytest.raises(UnsafePath, match="is not a path inside the repository"):
        repository.commit("a" * 40, {path: Entry(b"")}, "x")


def test_names_of_commits_are_resolved_and_options_are_not(site: Site) -> None:
    repository = site.open("copy")
    assert repository.resolve(site.head[:8]) == repository.resolve("HEAD") == site.head
    for name in ("--all", "absent", "HEAD:README.md", "-x", ""):
        with pytest.raises(NotARepository, match="is no commit of this repository"):
            repository.resolve(name)
    with pytest.raises(NotARepository):
        repository.head()  # before the first fetch


def test_the_fence_grows_with_every_commit_also_across_a_merge_made_the_other_way_round(site: Site) -> None:
    repository = site.open("copy")
    repository.fetch()
    git(site.person, "checkout", "--quiet", "-b", "side")
    (site.person / "side.txt").write_text("side\n")
    git(site.person, "add", "--all")
    git(site.person, "commit", "--quiet", "-m", "Side")
    for number in range(3):
        push(repository, {"n.txt": Entry(b"%d" % number)})
    before = repository.fence(site.head)
    git(site.person, "fetch", "--quiet", "origin")
    git(site.person, "merge", "--quiet", "-m", "As git pull does", "origin/main")
    git(site.person, "push", "--quiet", "origin", "side:main")
    repository.fetch()
    head = repository.head()
    assert repository.fence(head) == before + 2
    assert int(git(site.remote, "rev-list", "--count", "--first-parent", head)) < before  # why it is not used
    assert repository.is_ancestor(head, head)


def test_rewritten_history_stops_until_a_person_says_otherwise(site: Site) -> None:
    repository = site.open("copy")
    site.write({"README.md": "two\n"})
    repository.fetch()
    old = repository.head()
    git(site.person, "reset", "--quiet", "--hard", "HEAD~1")
    git(site.person, "push", "--quiet", "--force", "origin", "main")
    with pytest.raises(RewrittenHistory) as caught:
        repository.fetch()
    command = caught.value.remedy.split("git ")[1].split(", then")[0]
    assert not repository.is_ancestor(old, site.head)
    subprocess.run(["git", *command.split()], check=True)
    repository.fetch()
    assert repository.head() == site.head


def test_a_push_on_a_branch_that_was_rewound_is_refused_although_it_would_fast_forward(site: Site) -> None:
    repository = site.open("copy")
    site.write({"README.md": "two\n"})
    repository.fetch()
    head = repository.head()
    commit = repository.commit(head, HELLO, "On the old head\n")
    git(site.person, "push", "--quiet", "--force", "origin", "HEAD~1:main")
    assert repository.push(commit, head) is False
    assert len(site.commits()) == 1


def test_a_commit_can_be_pushed_only_by_the_first(site: Site) -> None:
    one, two = site.open("one"), site.open("two")
    for repository in (one, two):
        repository.fetch()
    head = one.head()
    assert one.push(one.commit(head, HELLO, "One\n"), head) is True
    assert two.push(two.commit(head, HELLO, "Two\n"), head) is False
    assert site.commits() == ["One", "Start"]


def test_a_protected_branch_says_no_in_its_own_words(site: Site) -> None:
    site.hook("pre-receive", "#!/bin/sh\necho 'main is protected: \033[2J use a merge request' >&2\nexit 1\n")
    repository = site.open("copy")
    repository.fetch()
    with pytest.raises(RemoteDenied) as caught:
        repository.push(repository.commit(repository.head(), HELLO, "x\n"), repository.head())
    assert caught.value.what == "origin refuses the push to main"
    assert "main is protected:" in caught.value.why
    assert "pre-receive hook declined" in caught.value.why
    assert "\x1b" not in caught.value.why
    assert not caught.value.retryable


def test_many_fetches_at_once_in_one_clone_do_not_disturb_each_other(site: Site) -> None:
    repository = site.open("copy")
    site.write({"README.md": "two\n"})
    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(repository.fetch) for _ in range(6)]:
            done.result()
    assert repository.head() == site.head


def note(site: Site, text: str) -> str:
    """Another commit of the notes on the remote."""
    git(site.person, "notes", "--ref=fairlead", "append", "-m", text, "HEAD")
    git(site.person, "push", "--quiet", "origin", NOTES)
    return git(site.remote, "rev-parse", NOTES)


def test_a_fetch_whose_ref_a_persons_git_moves_meanwhile_is_made_again(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = site.open("copy")
    note(site, "one")
    repository.fetch()
    newest = note(site, "two")
    hook, settings = tmp_path / "hook", tmp_path / "gitconfig"
    # git-upload-pack(1) runs it when the fetch has read the refs here and has not written them yet.
    hook.write_text(f'#!/bin/sh\nenv -u GIT_DIR git -C {repository.common} update-ref {NOTES} {site.head}\nexec "$@"\n')
    hook.chmod(0o755)
    settings.write_text(f"[uploadpack]\n\tpackObjectsHook = {hook}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    repository.fetch()
    assert repository.notes_head() == newest


def test_a_pushed_note_does_not_get_in_the_way_of_another_processs_fetch(site: Site) -> None:
    """That fetch may have read the notes ref, and fails when it finds it moved. The push itself has happened."""
    repository = replace(site.open("copy"), patience=0.0)
    made = repository.commit_note(None, site.head, "{}\n", "x\n")
    with (repository.common / "fairlead.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert repository.push_notes(made, None)
        assert repository.notes_head() is None
    repository.fetch()
    assert repository.notes_head() == made


def objects(repository: Repository) -> dict[str, int]:
    """git count-objects: loose ones (count), and packs."""
    lines = git(repository.git.directory, "count-objects", "-v").splitlines()
    return {name: int(number) for name, _, number in (line.partition(": ") for line in lines)}


def test_a_commit_makes_no_pack_of_its_own(site: Site) -> None:
    """git reads every pack's index at its start, so a hundred releases made each git command three times as slow."""
    repository = site.open("copy")
    before = objects(repository)["packs"]
    for number in range(3):
        push(repository, {"hello.txt": Entry(b"%d\n" % number)})
    assert objects(repository)["packs"] == before


def test_what_has_gathered_is_packed_when_git_finds_it_due(site: Site) -> None:
    repository = site.open("copy")
    head = repository.resolve("HEAD")
    for number in range(51):  # git-config(1), gc.autoPackLimit
        stream = import_stream(str(number), head, [b"M 644 inline n\ndata 3\n%03d\n" % number])
        argv = ["git", "-C", str(repository.git.directory), "-c", "fastimport.unpackLimit=1", "fast-import", "--quiet"]
        subprocess.run(argv, input=stream, check=True, capture_output=True)
    assert objects(repository)["packs"] > 50
    repository.tidy()
    assert objects(repository)["packs"] <= 2


def test_a_fetch_that_another_process_holds_up_for_too_long_says_so(site: Site) -> None:
    repository = replace(site.open("copy"), patience=0.1)
    with (repository.common / "fairlead.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Busy) as caught:
            repository.fetch()
    assert str(repository.git.directory) in caught.value.what
    assert caught.value.remedy == f"fuser -v {repository.common / 'fairlead.lock'}"
    repository.fetch()


# ---- identity and signing


def without_identity(site: Site) -> Repository:
    copy = site.clone("copy")
    git(copy, "config", "user.useConfigOnly", "true")
    git(copy, "config", "user.name", "")
    git(copy, "config", "user.email", "")
    repository = Repository.open(copy)
    repository.fetch()
    return repository


def test_without_an_identity_nothing_is_committed(site: Site) -> None:
    repository = without_identity(site)
    with pytest.raises(IdentityMissing) as caught:
        repository.commit(repository.head(), HELLO, "x\n")
    assert "git config user.name" in caught.value.remedy
    assert site.commits() == ["Start"]


def test_the_author_may_come_from_the_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = without_identity(site)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Jenkins")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "jenkins@example.com")
    push(repository, HELLO)
    assert git(site.remote, "log", "-1", "--format=%an %ce", "main") == "Jenkins jenkins@example.com"


def signing_copy(site: Site, key: Path) -> Repository:
    copy = site.clone("copy")
    for name, value in {"commit.gpgsign": "true", "gpg.format": "ssh", "user.signingkey": str(key)}.items():
        git(copy, "config", name, value)
    repository = Repository.open(copy)
    repository.fetch()
    return repository


def test_commits_are_signed_when_git_says_so(site: Site, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    allowed = tmp_path / "allowed"
    allowed.write_text(f"copy@example.com {key.with_suffix('.pub').read_text()}")
    commit = push(signing_copy(site, key), HELLO)
    git(site.remote, "-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-commit", commit)


def test_an_impossible_signature_leaves_no_commit(site: Site, tmp_path: Path) -> None:
    repository = signing_copy(site, tmp_path / "absent")
    with pytest.raises(SigningFailed) as caught:
        repository.commit(repository.head(), HELLO, "x\n")
    assert "nothing was committed" in caught.value.what
    assert "user.signingkey" in caught.value.remedy
    assert site.commits() == ["Start"]


# ---- the operator's checkout


def pushed(site: Site, copy: Path) -> tuple[Repository, str]:
    repository = Repository.open(copy)
    return repository, push(repository, {STAGING: Entry(b"# new\n")})


def test_a_clean_checkout_follows(site: Site) -> None:
    copy = site.clone("copy")
    (copy / "untracked").write_text("mine")
    repository, commit = pushed(site, copy)
    assert repository.catch_up(commit) == ""
    assert git(copy, "rev-parse", "HEAD") == commit
    assert git(copy, "status", "--porcelain", "--branch") == "## main...origin/main\n?? untracked"


def test_uncommitted_changes_are_left_alone(site: Site) -> None:
    copy = site.clone("copy")
    (copy / "README.md").write_text("Half a sentence")
    repository, commit = pushed(site, copy)
    assert "uncommitted changes" in repository.catch_up(commit)
    assert git(copy, "status", "--porcelain") == " M README.md"
    assert (copy / "README.md").read_text() == "Half a sentence"


@pytest.mark.parametrize("words", [("checkout", "--detach"), ("checkout", "-b", "mine")])
def test_another_branch_and_a_detached_checkout_stay(site: Site, words: tuple[str, ...]) -> None:
    copy = site.clone("copy")
    git(copy, *words)
    repository, commit = pushed(site, copy)
    assert repository.catch_up(commit) == ""
    assert git(copy, "rev-parse", "HEAD") != commit


def test_commits_that_are_not_pushed_stay(site: Site) -> None:
    copy = site.clone("copy")
    git(copy, "commit", "--quiet", "--allow-empty", "-m", "Mine")
    repository, commit = pushed(site, copy)
    assert "git pull --rebase" in repository.catch_up(commit)
    assert git(copy, "log", "-1", "--format=%s") == "Mine"


def test_hooks_of_the_checkout_do_not_run(site: Site, tmp_path: Path) -> None:
    copy, canary = site.clone("copy"), tmp_path / "canary"
    for name in ("pre-push", "post-merge", "pre-commit", "reference-transaction", "post-checkout"):
        hook = copy / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch {canary}\n")
        hook.chmod(0o755)
    repository, commit = pushed(site, copy)
    repository.catch_up(commit)
    assert not canary.exists()


# ---- export


def test_an_export_is_a_clean_copy_of_one_commit(site: Site, tmp_path: Path) -> None:
    script = site.person / "smoke.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (site.person / "here").symlink_to("README.md")
    commit = site.write({"README.md": "as committed\n"})
    (site.person / "README.md").write_text("changed since")
    repository = Repository.open(site.person)
    repository.export(commit, tmp_path / "out")
    assert (tmp_path / "out" / "README.md").read_text() == "as committed\n"
    assert (tmp_path / "out" / "here").read_text() == "as committed\n"
    assert os.access(tmp_path / "out" / "smoke.sh", os.X_OK)
    assert not (tmp_path / "out" / ".git").exists()


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd"])
def test_an_export_refuses_links_that_leave_the_repository(site: Site, tmp_path: Path, target: str) -> None:
    (site.person / "link").symlink_to(target)
    commit = site.write({})
    with pytest.raises(UnsafePath, match="leads out of the repository"):
        Repository.open(site.person).export(commit, tmp_path / "out")


def test_what_fast_import_reads() -> None:
    assert import_stream("x", "a" * 40, [b"M 100644 inline f\ndata 2\nhi\n"]).decode() == (
        "commit refs/fairlead/draft-x\nmark :1\ncommitter Fairlead <fairlead@localhost> 0 +0000\ndata 0\n"
        f"from {'a' * 40}\nM 100644 inline f\ndata 2\nhi\n"
        f"get-mark :1\nreset refs/fairlead/draft-x\nfrom {'0' * 40}\n\n"
    )
