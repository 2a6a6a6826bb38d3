"""Headless Chromium for tests that look at pages: the one that prints the article (`make browser` gets one)."""

import contextlib

import pytest

from fer_lib.report import article


@contextlib.contextmanager
def chromium(*arguments: str):
    """A browser, started with these arguments; the test is skipped where there is none."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed; the lock has it")
    with contextlib.ExitStack() as stack:
        try:
            browser = stack.enter_context(article.chromium(*arguments))
        except RuntimeError as error:
            pytest.skip(str(error))
        yield browser
