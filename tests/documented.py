"""Code that the documentation shows, to be run by tests."""

import re
from pathlib import Path


def shown(page: Path, mark: str) -> list[str]:
    """Code blocks of a page behind the comment that a test runs them."""
    blocks = re.findall(rf"<!-- run by a test: {mark} -->\n```\w+\n(.*?)```", page.read_text(), re.DOTALL)
    assert blocks, f"{page} shows nothing of {mark}"
    return blocks
