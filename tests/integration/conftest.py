"""Tests of a whole gateway on a real Ray Serve, over HTTP."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """The cluster is shared with the end-to-end tests, and so is the plugin that starts it."""
    config.pluginmanager.import_plugin("tests.support.serving")
