"""`fairlead init --update` brings ours, keeps theirs, and touches nothing that is checked out."""

import subprocess
from pathlib import Path

import pytest

from fairlead.errors import IdentityMissing, NotARepository, ScaffoldConflict, ScaffoldError, ScaffoldUnknown
from fairlead.scaffold.git import commit_tree, fetch_branch, index_info, merge_tree, update_refs
from fairlead.scaffold.render import RECORD
from fairlead.scaffold.update import update
from tests.scaffold.conftest import commit, git


def edit(repository: Path, path: str, old: str, new: str) -> None:
    file = repository / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    commit(repository, f"Edit {path}")


def state(repository: Path) -> tuple[str, ...]:
    """All that an update must not touch."""
    return (
        git(repository, "rev-parse", "HEAD"),
        git(repository, "symbolic-ref", "HEAD"),
        git(repository, "ls-files", "--stage"),
        git(repository, "status", "--porcelain"),
    )


def test_the_operators_edit_our_new_line_and_our_new_file_are_all_there(repository: Path, newer: Path) -> None:
    edit(repository, "Makefile", "help: ## Show the targets", "help: ## What there is")
    (repository / "unsaved.txt").write_text("being written\n")
    before = state(repository)

    result = update(repository, source=newer, version="0.2.0")

    assert result.branch == "fairlead-update-0.2.0"
    assert result.commit == git(repository, "rev-parse", "fairlead-update-0.2.0")
    makefile = git(repository, "show", "fairlead-update-0.2.0:Makefile")
    assert "help: ## What there is" in makefile
    assert "new-target:" in makefile
    assert git(repository, "show", "fairlead-update-0.2.0:deployment/new.yml") == "new: true"
    assert '"version": "0.2.0"' in git(repository, "show", f"fairlead-update-0.2.0:{RECORD}")
    assert git(repository, "rev-parse", "fairlead-update-0.2.0^") == before[0]
    assert git(repository, "log", "-1", "--format=%an", "fairlead-update-0.2.0") == "Ana"
    assert state(repository) == before


def test_nothing_new_makes_nothing(repository: Path) -> None:
    refs = git(repository, "for-each-ref")
    assert update(repository).branch is None
    assert git(repository, "for-each-ref") == refs


def test_lines_that_both_changed_are_a_conflict_and_nothing_is_half_written(repository: Path, newer: Path) -> None:
    makefile = newer / "Makefile"
    makefile.write_text(makefile.read_text().replace("## Show the targets", "## Print the targets"))
    edit(repository, "Makefile", "## Show the targets", "## What there is")
    before = state(repository)

    with pytest.raises(ScaffoldConflict) as caught:
        update(repository, source=newer, version="0.2.0")

    assert caught.value.what.endswith("the same lines of Makefile")
    assert caught.value.exit_code == 1
    assert state(repository) == before
    assert "fairlead-update" not in git(repository, "branch", "--list")


def test_the_remedy_of_a_conflict_leads_to_a_repository_that_updates_again(repository: Path, newer: Path) -> None:
    makefile = newer / "Makefile"
    makefile.write_text(makefile.read_text().replace("## Show the targets", "## Print the targets"))
    edit(repository, "Makefile", "## Show the targets", "## What there is")
    with pytest.raises(ScaffoldConflict) as caught:
        update(repository, source=newer, version="0.2.0")

    switch, pick = caught.value.remedy.split(": ", 1)[1].split(" && ")
    git(repository, *switch.split()[1:])
    picked = subprocess.run(pick.split(), cwd=repository, capture_output=True, check=False)
    assert picked.returncode == 1
    git(repository, "checkout", "--ours", "Makefile")
    commit(repository, "Merge the scaffold")

    assert (repository / "deployment/new.yml").exists()
    assert update(repository, source=newer, version="0.2.0").branch is None
    (newer / "README.md").write_text((newer / "README.md").read_text() + "\nMore.\n")
    update(repository, source=newer, version="0.3.0")
    changed = git(repository, "diff", "--name-only", "HEAD", "fairlead-update-0.3.0").splitlines()
    assert changed == [RECORD, "README.md"]


def test_an_update_after_a_squash_merge_of_the_one_before(repository: Path, newer: Path) -> None:
    edit(repository, "Makefile", "## Show the targets", "## What there is")
    update(repository, source=newer, version="0.2.0")
    git(repository, "merge", "--squash", "fairlead-update-0.2.0")
    commit(repository, "Bring the scaffold forward (squashed)")
    git(repository, "branch", "--delete", "--force", "fairlead-update-0.2.0")
    (newer / "README.md").write_text((newer / "README.md").read_text() + "\nMore.\n")

    update(repository, source=newer, version="0.3.0")

    changed = git(repository, "diff", "--name-only", "HEAD", "fairlead-update-0.3.0").splitlines()
    assert changed == [RECORD, "README.md"]


def test_an_update_that_was_never_merged_is_not_lost_in_the_next(repository: Path, newer: Path) -> None:
    update(repository, source=newer, version="0.2.0")
    (newer / "README.md").write_text((newer / "README.md").read_text() + "\nMore.\n")

    update(repository, source=newer, version="0.3.0")

    assert "new-target:" in git(repository, "show", "fairlead-update-0.3.0:Makefile")
    assert git(repository, "show", "fairlead-update-0.3.0:README.md").endswith("More.")


def test_a_file_that_the_operator_removed_stays_away(repository: Path, newer: Path) -> None:
    git(repository, "rm", "--quiet", "README.md")
    commit(repository, "We have a wiki")
    update(repository, source=newer, version="0.2.0")
    assert "README.md" not in git(repository, "ls-tree", "--name-only", "fairlead-update-0.2.0").splitlines()


def test_a_fresh_clone_fetches_the_pristine_branch(repository: Path, newer: Path, tmp_path: Path) -> None:
    bare = tmp_path / "origin.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(repository), str(bare))
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", "--single-branch", f"file://{bare}", str(clone))
    git(clone, "config", "user.name", "CI")
    git(clone, "config", "user.email", "ci@example.com")

    assert update(clone, source=newer, version="0.2.0").branch == "fairlead-update-0.2.0"
    assert "new-target:" in git(clone, "show", "fairlead-update-0.2.0:Makefile")


def test_without_a_pristine_branch_the_error_says_where_it_is(repository: Path, newer: Path, tmp_path: Path) -> None:
    git(repository, "branch", "--delete", "--force", "fairlead-scaffold")
    with pytest.raises(ScaffoldUnknown) as caught:
        update(repository, source=newer, version="0.2.0")
    assert "no branch fairlead-scaffold" in caught.value.what
    assert "git push origin fairlead-scaffold" in caught.value.remedy


def test_a_repository_that_init_did_not_write(repository: Path, newer: Path) -> None:
    git(repository, "rm", "--quiet", RECORD)
    commit(repository, "Remove the record")
    with pytest.raises(ScaffoldUnknown, match="fairlead init DIRECTORY"):
        update(repository, source=newer, version="0.2.0")


def test_an_edited_record_is_said(repository: Path, newer: Path) -> None:
    edit(repository, RECORD, '"tracker"', '"other"')
    with pytest.raises(ScaffoldUnknown, match="was edited"):
        update(repository, source=newer, version="0.2.0")


def test_an_older_fairlead_does_not_take_lines_away(repository: Path, newer: Path) -> None:
    with pytest.raises(ScaffoldUnknown, match="Update Fairlead first"):
        update(repository, source=newer, version="0.0.9")


def test_a_branch_from_an_earlier_update_is_kept(repository: Path, newer: Path) -> None:
    update(repository, source=newer, version="0.2.0")
    before = git(repository, "rev-parse", "fairlead-update-0.2.0")
    with pytest.raises(ScaffoldError, match="there already"):
        update(repository, source=newer, version="0.2.0")
    assert git(repository, "rev-parse", "fairlead-update-0.2.0") == before


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(NotARepository):
        update(tmp_path)


def test_nobody_commits_without_a_name(repository: Path, newer: Path) -> None:
    git(repository, "config", "user.name", "")
    with pytest.raises(IdentityMissing):
        update(repository, source=newer, version="0.2.0")
    assert "fairlead-update" not in git(repository, "branch", "--list")


def test_the_words_of_each_command() -> None:
    assert commit_tree("t", ("a", "b")) == ["commit-tree", "--no-gpg-sign", "-p", "a", "-p", "b", "t"]
    assert commit_tree("t", (), sign=True) == ["commit-tree", "-S", "t"]
    assert merge_tree("a", "b") == ["merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", "a", "b"]
    assert fetch_branch("x") == ["fetch", "--quiet", "--no-tags", "origin", "+refs/heads/x:refs/remotes/origin/x"]
    assert update_refs({"x": ("new", "old"), "y": ("new", None)}) == (
        f"start\nupdate refs/heads/x new old\nupdate refs/heads/y new {'0' * 40}\ncommit\n"
    )
    assert index_info({"a b": "1"}) == "100644 1\ta b\0"
