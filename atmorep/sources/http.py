"""HTTP that survives what passes: which addresses are safe, and one way to try again."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests  # type: ignore[import-untyped]

from atmorep.errors import SourceError

_LOG = logging.getLogger(__name__)

PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that say: not now."""

_LONGEST_WAIT_SECONDS = 600.0
_SHORTEST_WAIT_SECONDS = 0.01

T = TypeVar("T")


def require_secure(url: str, name: str, remedy: str) -> None:
    """Refuse addresses that are neither https nor on this machine.

    Raises:
        SourceError: naming the source ``name``, the host and ``remedy``.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(url)):
        raise SourceError(f"{name}: {parts.scheme}://{parts.hostname or ''} is not encrypted; {remedy}")


def is_loopback(url: str) -> bool:
    """Whether ``url`` is an address on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Session(requests.Session):
    """Refuses what is not encrypted (but for this machine), and redirects to another scheme."""

    def __init__(self, name: str, remedy: str) -> None:
        super().__init__()
        self._name, self._remedy = name, remedy

    def get_adapter(self, url: str) -> Any:
        """Return what sends requests to ``url``, if it is secure."""
        require_secure(url, self._name, self._remedy)
        return super().get_adapter(url)

    def get_redirect_target(self, resp: Any) -> str | None:
        """Return where ``resp`` redirects to, if anywhere.

        Raises:
            SourceError: if that is another scheme.
        """
        target: str | None = super().get_redirect_target(resp)
        if target and urlsplit(urljoin(resp.url, target)).scheme != urlsplit(resp.url).scheme:
            raise SourceError(
                f"{self._name}: {resp.url} redirects to {target}, another scheme, which is not followed; "
                f"{self._remedy}"
            )
        return target


def pauses(first: float, longest: float = _LONGEST_WAIT_SECONDS) -> Iterator[float]:
    """Yield seconds to wait: ``first``, then each time twice as long, at most ``longest``; endless."""
    pause = max(first, _SHORTEST_WAIT_SECONDS)
    while True:
        yield min(pause, longest)
        pause *= 2


@dataclass(frozen=True)
class Retry:
    """How often and how patiently to try again.

    Attributes:
        retries: attempts after the first.
        backoff_seconds: wait before the second attempt; doubles with each further one.
        failures: classes of exceptions that can pass.
        remedy: what the user may do after the last attempt.
    """

    retries: int
    backoff_seconds: float
    failures: tuple[type[Exception], ...]
    remedy: str

    def __call__(self, call: Callable[[], T], judge: Callable[[Exception], str], where: str) -> T:
        """Return ``call()``, tried again after failures that can pass, later if the server asks for that.

        Args:
            call: what to do.
            judge: given a failure, raises if trying again cannot help, else says it in words.
            where: what is being done, for messages.

        Raises:
            SourceError: if it fails too often.
        """
        for attempt, pause in enumerate(pauses(self.backoff_seconds)):
            try:
                return call()
            except self.failures as error:
                failure, wait = judge(error), max(pause, _asked_for(error))
            if attempt == self.retries:
                raise SourceError(
                    f"{where}: failed {attempt + 1} times, last with: {failure}; {self.remedy}"
                ) from None
            _LOG.warning("%s: %s; trying again in %g s", where, failure, wait)
            time.sleep(wait)
        raise AssertionError("unreachable: pauses never end")


def _asked_for(error: Exception) -> float:
    """Return the seconds that a server asked to wait for, at most the longest wait; 0 if it did not."""
    response = getattr(error, "response", None)
    asked = "" if response is None else response.headers.get("Retry-After", "")
    return min(float(asked), _LONGEST_WAIT_SECONDS) if asked.isdecimal() else 0.0


def one_line(error: Exception) -> str:
    """Return class and message of ``error`` on one line."""
    text = " / ".join(line.strip() for line in str(error).splitlines() if line.strip())
    return f"{type(error).__name__}: {text}"
