"""What a command works on: reached with the control secrets, read from one commit."""

from dataclasses import replace

import pytest

from fairlead.config.secrets import Secrets
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
