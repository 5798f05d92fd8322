"""Fixtures for every test folder."""

import signal

pytest_plugins = ["tests.fixtures.lab", "tests.fixtures.registry", "tests.fixtures.shop"]

# A run that a script started with `&` ignores SIGINT, and so would every program under test that is to be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)
