"""Tests of the pages: every command in them is run as a new user would."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """The cluster's plugin has to be known before anything here imports its module."""
    config.pluginmanager.import_plugin("tests.support.serving")
