"""Headless Chromium for tests that look at pages: the system's, or the one that `playwright install chromium` brings
(`make browser` gets one of the two)."""

import contextlib
import os
import shutil

import pytest


@contextlib.contextmanager
def chromium(*arguments: str):
    """A browser, started with these arguments; the test is skipped where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; the lock has it")
    system = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with api.sync_playwright() as started:
        if not system and not os.path.exists(started.chromium.executable_path):
            pytest.skip("no Chromium here: `make browser` gets one")
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # which root cannot have
        with started.chromium.launch(executable_path=system, args=[*sandbox, *arguments]) as launched:
            yield launched
