"""What a command works on: reached with the control secrets, read from one commit."""

from dataclasses import replace

import pytest

from fairlead.config.secrets import Secrets
from fairlead.errors import NotARepository
from fairlead.pipeline import release
from fairlead.pipeline.detect import detect
from fairlead.pipeline.scope import Scope
from tests.fixtures.git import git
from tests.fixtures.git_https import PASSWORD, USER, serve_https
from tests.fixtures.shop import Shop


def test_an_https_remote_is_reached_with_the_control_secrets(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_https(shop.site.root) as server:
        git(shop.site.person, "remote", "set-url", "origin", f"{server.url}/remote.git")
        monkeypatch.setenv("GIT_SSL_CAINFO", str(server.ca))
        secrets = {"FAIRLEAD_CONTROL_GIT_USERNAME": USER, "FAIRLEAD_CONTROL_GIT_TOKEN": PASSWORD}
        scope = Scope.open(shop.site.person, "staging", None, replace(shop.variables, secrets=Secrets(None, secrets)))
    assert scope.commit == shop.site.head


def test_an_older_commit_has_its_own_pins_and_configuration(shop: Shop) -> None:
    old = shop.site.head
    pushed = shop.push("app", "1.1.0")
    shop.pin("staging", {"app_image": pushed})
    shop.configure(("app: shop", "app: other"))
    scope = shop.scope(commit=old)
    assert scope.configuration.app == "shop"
    assert scope.pins["app_image"].tag == "1.0.0"
    assert shop.scope().configuration.app == "other"


def test_an_address_is_enough_and_its_clone_is_kept(shop: Shop) -> None:
    pushed = shop.push("app", "1.1.0")
    for _ in range(2):
        scope = Scope.open(shop.site.url, "staging", None, shop.variables)
        assert [change.new for change in detect(scope).changes] == [pushed]
    made = release.bump(scope, detect(scope).changes, "7")
    assert shop.site.head == made.commit
    assert len(list((shop.state / "clones").iterdir())) == 1


def test_an_address_may_name_the_branch(shop: Shop) -> None:
    git(shop.site.person, "push", "--quiet", "origin", "HEAD:refs/heads/releases")
    assert Scope.open(f"{shop.site.url}#releases", "staging", None, shop.variables).repository.branch == "releases"


def test_what_is_wrong_with_an_address_is_said_of_the_address(shop: Shop) -> None:
    gone = shop.site.url + "-gone"
    with pytest.raises(NotARepository) as caught:
        Scope.open(gone, "staging", None, shop.variables)
    assert caught.value.what == f"git fetch with {gone} failed"
    assert caught.value.remedy == f"git ls-remote {gone} tries it by hand"


def test_an_address_that_would_run_a_program_is_refused(shop: Shop) -> None:
    with pytest.raises(NotARepository, match="not an address that git may use"):
        Scope.open("ext::sh@x:", "staging", None, shop.variables)
