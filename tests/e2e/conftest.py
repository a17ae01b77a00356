"""Tests of everything together: real processes, real clients, real HTTP."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """The cluster is shared with the integration tests, and so is the plugin that starts it."""
    config.pluginmanager.import_plugin("tests.support.serving")
