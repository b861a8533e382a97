"""Delivery from the Copernicus Climate Data Store through its official client.

The client does single HTTP requests here; waiting, retries and resuming are decided in one place,
:class:`Archive`, so that a delivery survives what passes and stops at once at what does not.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import cdsapi
import multiurl  # type: ignore[import-untyped]
import requests  # type: ignore[import-untyped]
from cdsapi.api import get_url_key_verify
from ecmwf.datastores.processing import LinkError, ProcessingFailedError
from multiurl.base import NoBar  # type: ignore[import-untyped]

from atmorep.artefacts import read_json, write_json
from atmorep.config import CdsSource
from atmorep.errors import CredentialsError, SourceError
from atmorep.sources.cds_requests import Request
from atmorep.sources.http import PASSING, Retry, Session, is_loopback, one_line, pauses, require_secure

_LOG = logging.getLogger(__name__)
_GONE = frozenset({404, 410})
_EXPIRED = frozenset({403, 404, 410})
_TIMEOUT_SECONDS = 60
_LONGEST_POLL_SECONDS = 120.0
_CHUNK_BYTES = 1 << 18
_INSECURE = "the key would be seen on the way: use an https address in source.url, CDSAPI_URL or ~/.cdsapirc"

T = TypeVar("T")


class _Refused(SourceError):
    """The archive will not deliver this request, however often it is asked."""


class _Gone(Exception):
    """The job or its result is not there any more: submit again."""


class _Incomplete(Exception):
    """Fewer or more bytes came than announced."""


# What passes or may pass; multiurl says with AssertionError that the size is wrong, the client with
# KeyError and LinkError that the answer has another form.
_FAILURES = (
    *(ProcessingFailedError, requests.RequestException, _Incomplete),
    *(AssertionError, KeyError, LinkError),
)


class _Session(Session):
    """Keeps the key to encrypted connections (but for this machine) and to the host it is for."""

    def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
        if self.should_strip_auth(response.request.url, prepared_request.url):
            prepared_request.headers.pop("PRIVATE-TOKEN", None)
        super().rebuild_auth(prepared_request, response)


def credentials(source: CdsSource) -> tuple[str, str, bool]:
    """Return address, key and whether to verify certificates, as the client finds them.

    Raises:
        CredentialsError: if there is no key, or one of the former archive.
        SourceError: if the address is without https, or certificates are not to be verified.
    """
    try:
        url, key, verify = get_url_key_verify(source.url, None, None)
    except Exception:  # the client raises no narrower class
        raise CredentialsError(
            "cds: no credentials; copy url and key from https://cds.climate.copernicus.eu/how-to-api to "
            "~/.cdsapirc, or set CDSAPI_URL and CDSAPI_KEY"
        ) from None
    if not key or ":" in key:
        raise CredentialsError(
            "cds: the key is empty or of the archive's former form '<UID>:<key>'; copy the personal access "
            "token from https://cds.climate.copernicus.eu/profile to ~/.cdsapirc or CDSAPI_KEY"
        )
    require_secure(url, "cds", _INSECURE)
    if not verify and not is_loopback(url):
        raise SourceError(
            "cds: certificates are not verified, so that anyone on the way could take the key; remove "
            "'verify' from ~/.cdsapirc"
        )
    return url, key, verify


class Archive:
    """Delivers requests: submits, waits in the queue, downloads; resumes what was interrupted."""

    def __init__(self, source: CdsSource) -> None:
        self._source = source
        url, self._key, self._verify = credentials(source)
        self._session = _Session("cds", _INSECURE)
        remedy = "rerun later to go on where it stopped, or raise source.retries"
        self._retry = Retry(source.retries, source.backoff_seconds, _FAILURES, remedy)
        self._client = cdsapi.Client(
            url=url,
            key=self._key,
            verify=self._verify,
            timeout=_TIMEOUT_SECONDS,
            quiet=True,
            progress=False,
            retry_max=1,
            wait_until_complete=False,
            session=self._session,
        )

    def deliver(self, request: Request, folder: Path, where: str) -> Path:
        """Return the path below ``folder`` of what the archive delivered for ``request``.

        The job's number and the bytes that came stay in ``folder`` when the delivery is
        interrupted, so that the next call waits for the same job and fetches the rest only; the
        caller removes ``folder`` when it has no more use for it.

        Args:
            request: what to ask for.
            folder: a folder for this request alone.
            where: the request in words, for messages.

        Raises:
            SourceError: with the archive's message and the remedy, at once if asking again cannot
                help, else after the configured retries.
        """
        body = folder / "body.grib"
        try:
            for _ in range(self._source.retries + 1):
                try:
                    self._deliver(request, folder / "job.json", body, where)
                    return body
                except _Gone as gone:
                    _LOG.warning("cds: %s: %s; asking again", where, self._clean(gone))
                    shutil.rmtree(folder, ignore_errors=True)
        except _Refused:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        raise SourceError(
            f"cds: {where}: the result expired {self._source.retries + 1} times before it was fetched; rerun"
        )

    def _deliver(self, request: Request, job: Path, body: Path, where: str) -> None:
        remote = self._remote(request, job, where)
        self._wait(remote, where)
        results = self._robust(remote.get_results, where, _GONE)
        self._robust(lambda: self._download(results, body), where, _EXPIRED)

    def _remote(self, request: Request, job: Path, where: str) -> Any:
        """Return the job of an interrupted delivery if there is one, else submit a new one."""
        if job.exists():
            number = read_json(job)["request_id"]
            return self._robust(lambda: self._client.client.get_remote(number), where, _GONE)
        remote = self._robust(lambda: self._client.retrieve(request.dataset, request.keys), where)
        write_json(job, {"dataset": request.dataset, "request_id": remote.request_id})
        _LOG.info("cds: %s: submitted as %s", where, remote.request_id)
        return remote

    def _wait(self, remote: Any, where: str) -> None:
        """Wait until the job is done; its place in the queue is kept if that takes too long."""
        end = time.monotonic() + 3600 * self._source.timeout_hours
        for pause in pauses(self._source.backoff_seconds, _LONGEST_POLL_SECONDS):
            if self._robust(lambda: remote.results_ready, where, _GONE):
                return
            if time.monotonic() + pause > end:
                raise SourceError(
                    f"cds: {where}: request {remote.request_id} is still {remote.last_status} after "
                    f"source.timeout_hours = {self._source.timeout_hours:g}; rerun to go on waiting for the "
                    "same request, or make source.timeout_hours longer"
                )
            time.sleep(pause)

    def _download(self, results: Any, body: Path) -> None:
        """Fetch the bytes of ``results`` that ``body`` lacks."""
        size = results.content_length
        if body.exists() and body.stat().st_size > size:
            body.unlink()
        if not body.exists() or body.stat().st_size < size:
            multiurl.download(
                results.location,
                target=str(body),
                chunk_size=_CHUNK_BYTES,
                resume_transfers=True,
                maximum_retries=1,
                timeout=_TIMEOUT_SECONDS,
                verify=self._verify,
                progress_bar=NoBar,
                session=self._session,
            )
        if body.stat().st_size != size:
            raise _Incomplete(f"{body.stat().st_size} of {size} bytes came")

    def _robust(self, call: Callable[[], T], where: str, gone: frozenset[int] = frozenset()) -> T:
        """Return ``call()``, tried again after failures that can pass.

        Raises:
            _Gone: if the archive answers with one of the codes ``gone``.
            SourceError: if it fails for good, or too often.
        """
        return self._retry(call, lambda error: self._judge(error, where, gone), f"cds: {where}")

    def _judge(self, error: Exception, where: str, gone: frozenset[int]) -> str:
        """Raise if trying again cannot help; else return the failure in words."""
        if isinstance(error, ProcessingFailedError):
            raise self._refusal(where, error, "correct the request, or rerun if the archive failed") from None
        if isinstance(error, requests.exceptions.SSLError):
            raise self._refusal(where, error, "correct the certificates of this machine") from None
        if isinstance(error, requests.HTTPError) and error.response is not None:
            status = error.response.status_code
            if status in gone:
                raise _Gone(f"HTTP {status}") from None
            if status not in PASSING:
                raise self._refusal(where, error, _remedy(status, str(error), self._client.url)) from None
        return self._clean(error)

    def _refusal(self, where: str, error: Exception, remedy: str) -> _Refused:
        return _Refused(f"cds: {where}: {self._clean(error)}; {remedy}")

    def _clean(self, error: Exception) -> str:
        """Return the message on one line, without the key should the archive repeat it."""
        return one_line(error).replace(self._key, "***")


def _remedy(status: int, message: str, url: str) -> str:
    if status == 401:
        return "renew the key in ~/.cdsapirc or CDSAPI_KEY (it is the personal access token of your profile)"
    if status == 403 and "licence" in message:
        return f"accept the licence on the data set's page at {urlsplit(url).hostname} with the key's account"
    if status in (400, 403, 422) and "cost" in message:
        return "the request is too large: take fewer levels or fields an experiment"
    if status == 403:
        return "look whether the key's account may use this data set"
    return "correct fields, levels, grid or periods so that the archive has them"
