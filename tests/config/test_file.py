"""What is remembered of a fairlead.yaml, and when it counts."""

import json
from dataclasses import asdict

import pytest

from fairlead.config.file import Brief, ConfigurationFile
from fairlead.errors import InvalidSetting

MADE = """
app: shop
git: {branch: releases}
images: {app_image: {repository: r.example.com/shop/backend, policy: {semver: "^1"}}}
environments: {staging: {}, production: {}}
provision: {with: opentofu, refresh_after: 1h}
deploy: {with: ansible, port: 2222}
"""
STANDING = MADE.replace("{with: opentofu, refresh_after: 1h}", "{with: static, addresses: {staging: 192.0.2.10}}")
WRONG = MADE.replace("app: shop", "app: 7")


def file(text: str, known: Brief | None = None, deployer: str = "") -> ConfigurationFile:
    return ConfigurationFile(text.encode(), "fairlead.yaml", deployer, known)


def brief(text: str) -> Brief:
    return file(text).brief


def test_a_brief_has_what_provisioning_needs() -> None:
    both = {"app": "shop", "branch": "releases", "environments": ("staging", "production"), "port": 2222}
    made, standing = asdict(brief(MADE)), asdict(brief(STANDING))
    assert made.pop("digest") != standing.pop("digest")
    assert made == {**both, "made": True, "refresh_after": 3600.0, "addresses": {}}
    assert standing == {**both, "made": False, "refresh_after": 0.0, "addresses": {"staging": "192.0.2.10"}}


@pytest.mark.parametrize("text", [MADE, STANDING])
def test_a_brief_comes_back_from_json(text: str) -> None:
    assert Brief.from_json(json.loads(json.dumps(asdict(brief(text))))) == brief(text)


def test_what_is_known_of_the_same_text_is_not_read_again() -> None:
    known = brief(MADE)
    again = file(MADE, known)
    assert again.brief is known
    assert "configuration" not in vars(again)
    assert again.configuration.app == "shop"


def test_what_is_known_of_another_text_does_not_count() -> None:
    assert file(STANDING, brief(MADE)).brief == brief(STANDING)
    with pytest.raises(InvalidSetting, match="app"):
        file(WRONG, brief(MADE)).brief  # noqa: B018
    with pytest.raises(InvalidSetting, match="'nobody' is no deployer"):
        file(MADE, brief(MADE), "nobody").brief  # noqa: B018


def test_another_deployer_is_another_reading() -> None:
    other = file(MADE).deployed_with("semaphore")
    assert (other.configuration.deploy.by, other.configuration.deploy.port) == ("semaphore", 2222)
    assert other.deployed_with("") is other
