# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of :mod:`fpga`."""

import pytest

from fpga.synth import cache


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    """Return the folder of a cache for all tests of one worker."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def no_cache_of_the_user(monkeypatch, shared_cache):
    """Neither read nor fill the user's cache; what one test measured may serve the next."""
    monkeypatch.setattr(cache, "folder", lambda: shared_cache)


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    """Start with an empty cache; return its folder, which does not exist yet."""
    monkeypatch.setattr(cache, "folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"
