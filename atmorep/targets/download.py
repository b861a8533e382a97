"""Files by HTTP: what came before a break is kept, if the server's file is still the same."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import requests  # type: ignore[import-untyped]
import urllib3

from atmorep.artefacts import read_json, write_json
from atmorep.errors import IntegrityError, SourceError
from atmorep.sources.http import PASSING, Retry, Session, one_line, require_secure

_LOG = logging.getLogger(__name__)
_CHUNK_BYTES = 1 << 16
_LONGEST_LISTING_BYTES = 16 << 20
_ABSENT = frozenset({404, 410})
_USELESS = (
    requests.exceptions.SSLError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.TooManyRedirects,
)

SAFE = "use an https address in 'url'"
"""What to do about an address that is not encrypted."""


class Absent(SourceError):
    """The server has no such file."""


class _Incomplete(Exception):
    """Other bytes came than announced."""


class _Part:
    """What has come of a file so far, and of which version of it."""

    def __init__(self, target: Path) -> None:
        self.body = target.with_name(f".{target.name}.part")
        self._state = target.with_name(f".{target.name}.json")

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.body.stat().st_size if self.body.exists() else 0

    def version(self, url: str) -> dict[str, Any] | None:
        """Return what :meth:`begin` was told, if bytes of that are there, from ``url``."""
        if not self.size:
            return None
        try:
            state: dict[str, Any] = read_json(self._state)
        except IntegrityError:
            return None
        return state if state["url"] == url else None

    def begin(self, version: dict[str, Any]) -> None:
        """Forget what is there; what comes now is of ``version``."""
        self.body.unlink(missing_ok=True)
        write_json(self._state, version)

    def finish(self, target: Path) -> None:
        """Rename what came into place."""
        self.body.replace(target)
        self.discard()

    def discard(self) -> None:
        """Forget what is there."""
        self.body.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)


class Downloads:
    """Fetches files of one server; goes on after what passes, stops at once at what does not."""

    def __init__(
        self, name: str, *, retries: int, backoff_seconds: float, timeout_seconds: float, longest: int
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            name: of the source, for messages.
            retries: attempts after a failure that can pass.
            backoff_seconds: wait before the first of them; doubles.
            timeout_seconds: longest silence of the server.
            longest: size in bytes above which a file is refused.
        """
        self._name, self._timeout, self._longest = name, timeout_seconds, longest
        self._session = Session(name, SAFE)
        # Bytes as they are: their number is what Content-Length says, and ranges count them.
        self._session.headers["Accept-Encoding"] = "identity"
        failures = (requests.RequestException, urllib3.exceptions.HTTPError, _Incomplete)
        remedy = "rerun later to go on where it stopped, or raise 'retries'"
        self._retry = Retry(retries, backoff_seconds, failures, remedy)

    def fetch(self, url: str, target: Path) -> None:
        """Write the file at ``url`` to ``target``, renamed into place when it is whole.

        Until then what came is beside it, hidden, for the next call to go on with.

        Raises:
            Absent: if the server has no such file.
            SourceError: if it refuses for good or fails too often, or the file is too large.
        """
        require_secure(url, self._name, SAFE)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = _Part(target)
        self._retry(lambda: self._go_on(url, part), lambda e: self._judge(e, url), f"{self._name}: {url}")
        part.finish(target)

    def names(self, url: str) -> set[str]:
        """Return the names of files and folders in the listing at ``url``; asked for once.

        Raises:
            Absent: if the server has no such folder.
            SourceError: if there is no listing now.
        """
        require_secure(url, self._name, SAFE)
        try:
            with self._get(url, {}) as response:
                page = response.raw.read(_LONGEST_LISTING_BYTES, decode_content=False)
        except self._retry.failures as error:
            raise SourceError(f"{self._name}: {url}: {self._judge(error, url)}; try again later") from None
        links = re.findall(r'href="([^"?]+)"', page.decode("latin-1"))
        if not links:
            raise SourceError(f"{self._name}: {url} is no listing of files; look whether 'url' is right")
        return {link.rstrip("/").rsplit("/", 1)[-1] for link in links}

    def _get(self, url: str, headers: dict[str, str]) -> Any:
        response = self._session.get(url, headers=headers, stream=True, timeout=self._timeout)
        if response.status_code != requests.codes.requested_range_not_satisfiable:
            response.raise_for_status()
        return response

    def _go_on(self, url: str, part: _Part) -> None:
        """Fetch the bytes that ``part`` lacks."""
        version = part.version(url)
        if version is not None and version["size"] == part.size:
            return
        headers = {}
        if version is not None and version["validator"]:
            headers = {"Range": f"bytes={part.size}-", "If-Range": version["validator"]}
        with self._get(url, headers) as response:
            size = self._size(response, url, part)
            if size is not None and size > self._longest:
                raise self._too_large(url, size)
            self._write(response, url, part)
        if size is not None and part.size != size:
            raise _Incomplete(f"{part.size} of {size} bytes came")

    def _size(self, response: Any, url: str, part: _Part) -> int | None:
        """Return the size of the whole file, if said, once ``part`` is ready for what comes."""
        if response.status_code == requests.codes.ok:
            length = response.headers.get("Content-Length", "")
            size = int(length) if length.isdecimal() else None
            part.begin({"url": url, "validator": _validator(response), "size": size})
            return size
        version = part.version(url)
        said = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if version is not None and said is not None:
            came = {"url": url, "validator": _validator(response), "size": int(said[2])}
            if came == version and int(said[1]) == part.size:
                return int(said[2])
        part.discard()
        raise _Incomplete("what came before is of another version of the file")

    def _write(self, response: Any, url: str, part: _Part) -> None:
        size = part.size
        with part.body.open("ab") as file:
            for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
                size += len(chunk)
                if size > self._longest:
                    raise self._too_large(url, size)
                file.write(chunk)

    def _too_large(self, url: str, size: int) -> SourceError:
        return SourceError(
            f"{self._name}: {url}: {size} bytes or more, where {self._longest} are the most that is taken; "
            "look whether 'url' is the right server"
        )

    def _judge(self, error: Exception, url: str) -> str:
        """Raise if trying again cannot help; else return the failure in words."""
        if isinstance(error, _USELESS):
            raise SourceError(
                f"{self._name}: {url}: {one_line(error)}; correct 'url' or this machine's certificates"
            ) from None
        response = getattr(error, "response", None)
        if response is not None and response.status_code in _ABSENT:
            raise Absent(f"{self._name}: {url}: the server has no such file") from None
        if response is not None and response.status_code not in PASSING:
            raise SourceError(
                f"{self._name}: {url}: {one_line(error)}; look whether 'url' is the right server"
            ) from None
        return one_line(error)


def _validator(response: Any) -> str | None:
    """Return what tells one version of a file from another to the byte, for If-Range (RFC 9110, 13.1.5)."""
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
