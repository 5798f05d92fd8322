"""Fixtures for every test folder."""

pytest_plugins = ["tests.fixtures.lab", "tests.fixtures.registry", "tests.fixtures.shop"]
