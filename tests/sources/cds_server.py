"""A loopback server that speaks the API of the Climate Data Store and answers requests with GRIB.

It reads requests as the archive does (MARS keys on the complete archive, lists elsewhere), so that a
wrong request is answered with wrong data. Faults are queued an operation: an HTTP status, ``cut``
(the connection breaks in the middle of the body) or ``expired``.
"""

import datetime as dt
import itertools
import json
import tempfile
import threading
from collections import defaultdict, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from atmorep.fields import FIELDS
from atmorep.grids import Grid
from atmorep.sources.grib import eccodes, read, scan
from atmorep.sources.grib_writer import GribWriter

KEY = "0f0e0d0c-1234-5678-9abc-secret-of-the-user"
LEVEL_TYPES = {"ml": "model", "pl": "pressure", "sfc": "surface"}


def mars(keys):
    """(fields, level type, levels, valid times, accumulated) of a request to the complete archive."""
    first, last = (dt.date.fromisoformat(d) for d in keys["date"].split("/to/"))
    days = [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]
    hours = [int(t[:2]) for t in keys["time"].split("/")]
    steps = [int(s) for s in keys["step"].split("/")] if keys["type"] == "fc" else [0]
    if keys["type"] == "fc":
        assert set(hours) <= {6, 18}, f"no forecast starts at {hours}"
        assert set(steps) <= set(range(1, 19)), f"no forecast has steps {steps}"
    ids = [int(p) for p in keys["param"].split("/")]
    fields = [next(f for f in FIELDS.values() if f.param_id == i) for i in ids]
    assert all(f.accumulated == (keys["type"] == "fc") for f in fields)
    times = [np.datetime64(d, "h") + h + s for d, h, s in itertools.product(days, hours, steps)]
    levels = [int(v) for v in keys.get("levelist", "0").split("/")]
    return fields, LEVEL_TYPES[keys["levtype"]], levels, times


def disk(keys):
    """The same of a request to the data sets on disk."""
    days = [
        np.datetime64(f"{y}-{m}-{d}", "h")
        for y, m, d in itertools.product(keys["year"], keys["month"], keys["day"])
    ]
    times = [day + int(t[:2]) for day, t in itertools.product(days, keys["time"])]
    fields = [next(f for f in FIELDS.values() if f.long_name == name) for name in keys["variable"]]
    levels = [int(v) for v in keys.get("pressure_level", ["0"])]
    return fields, "pressure" if "pressure_level" in keys else "surface", levels, times


def numbers(value):
    return [float(v) for v in (value.split("/") if isinstance(value, str) else value)]


def answer(dataset, keys):
    """The GRIB that the archive delivers: field by field, as on tape not in the order of time."""
    fields, kind, levels, times = (mars if dataset.endswith("complete") else disk)(keys)
    (north, west, south, east), (step, _) = numbers(keys["area"]), numbers(keys["grid"])
    grid = Grid(north, west, step, (round((north - south) / step) + 1, round((east - west) / step) + 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer.grib"
        with GribWriter(path, grid) as writer:
            for field, level, time in itertools.product(fields, levels, reversed(times)):
                writer.write(field.name, kind, level, time, values(field.name, level, time, grid))
        return path.read_bytes()


def values(field, level, time, grid):
    """What the archive holds: any values that differ from field to field, level to level, hour to hour."""
    seed = [FIELDS[field].param_id, level, int(time.astype("datetime64[h]").astype(int))]
    return np.random.default_rng(seed).random(grid.shape)


def with_expver(body, expver, every=1):
    """``body`` with another experiment version in every n-th message."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "body.grib"
        path.write_bytes(body)
        out = b""
        for message in scan(path):
            handle = eccodes.codes_new_from_message(read(message))
            if message.number % every == 0:
                eccodes.codes_set(handle, "expver", expver)
            out += eccodes.codes_get_message(handle)
            eccodes.codes_release(handle)
    return out


class CdsServer:
    """The archive on a free port of 127.0.0.1 until the context ends.

    Attributes:
        url: address of the API.
        faults: operation (``submit``, ``status``, ``results``, ``body``) to faults still to come.
        states: what a job's status is, poll by poll, before it is ``successful``.
        answer: function that makes the delivered bytes from data set and request.
        submitted: (data set, request) of each job.
        calls: operations in the order they came.
        ranges: Range header (or None) of each fetch of a body.
        tokens: hosts that were sent a key.
    """

    def __init__(self):
        self.faults, self.states, self.answer = defaultdict(deque), [], answer
        self.submitted, self.calls, self.ranges, self.tokens = [], [], [], []
        self.failed = None  # (title, detail) of a job that fails
        self.redirect = None  # host to which a status query is redirected
        self.store = None  # where results are said to lie, if not here
        self.bodies, self.polls = {}, defaultdict(int)
        self.lock = threading.Lock()

    def __enter__(self):
        handler = type("Handler", (_Handler,), {"archive": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/api"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    archive = None
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *arguments):
        pass

    def reply(self, value, status=200, **headers):
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, title=None, detail="say it again"):
        self.reply({"status": status, "title": title or f"trouble {status}", "detail": detail}, status)

    def fault(self, operation):
        """Count the call; answer with the next fault of the operation, if there is one."""
        with self.archive.lock:
            self.archive.calls.append(operation)
            queue = self.archive.faults[operation]
            found = queue.popleft() if queue else None
        if isinstance(found, tuple):
            self.error(*found)
        elif isinstance(found, int):
            self.error(found)
        return found

    def authorised(self):
        token = self.headers.get("PRIVATE-TOKEN")
        if token:
            self.archive.tokens.append(self.headers["Host"].split(":")[0])
        if token != KEY:
            self.error(401, "authentication failed", f"the token {token} is unknown")
        return token == KEY

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]
        if not self.authorised() or self.fault("submit"):
            return
        dataset = self.path.split("/")[-2]
        with self.archive.lock:
            self.archive.submitted.append((dataset, request))
            job = f"job{len(self.archive.submitted)}"
        self.archive.bodies[job] = self.archive.answer(dataset, request)
        self.reply(self.job(job, "accepted"), 201)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[0] == "store":
            self.body(parts[-1])
        elif parts[1] == "catalogue":
            self.reply({"messages": []})
        elif not self.authorised():
            return
        elif parts[3] == "processes":
            self.reply({"id": parts[4], "links": []})
        elif parts[-1] == "results":
            self.results(parts[4])
        else:
            self.status(parts[4])

    def job(self, job, status):
        href = f"{self.archive.url}/retrieve/v1/jobs/{job}"
        links = [{"rel": rel, "href": href} for rel in ("self", "monitor")]
        results = [{"rel": "results", "href": f"{href}/results"}]
        return {"jobID": job, "status": status, "metadata": {}, "links": links + results}

    def status(self, job):
        if self.archive.redirect:
            host, self.archive.redirect = self.archive.redirect, None
            target = f"http://{host}:{self.server.server_port}{self.path}"
            self.reply({}, 302, Location=target)
        elif self.fault("status"):
            return
        elif job not in self.archive.bodies:
            self.error(404, "job not found")
        else:
            with self.archive.lock:
                poll = self.archive.polls[job]
                self.archive.polls[job] += 1
            states = self.archive.states
            final = "failed" if self.archive.failed else "successful"
            self.reply(self.job(job, states[poll] if poll < len(states) else final))

    def results(self, job):
        if self.fault("results"):
            return
        if self.archive.failed:
            self.error(400, *self.archive.failed)
            return
        store = self.archive.store or f"http://127.0.0.1:{self.server.server_port}/store"
        href = f"{store}/{job}.grib"
        asset = {"href": href, "file:size": len(self.archive.bodies[job]), "type": "application/x-grib"}
        self.reply({"asset": {"value": asset}})

    def body(self, name):
        whole = self.archive.bodies[name.removesuffix(".grib")]
        if self.command == "HEAD":
            self.send(200, whole, b"")
            return
        self.archive.ranges.append(self.headers.get("Range"))
        fault = self.fault("body")
        if isinstance(fault, int):
            return
        if fault == "expired":
            self.error(403, "Request has expired")
            return
        start = int((self.headers.get("Range") or "bytes=0-")[6:].rstrip("-"))
        rest = whole[start:]
        self.send(206 if start else 200, rest, rest[: len(rest) // 2] if fault == "cut" else rest)
        if fault == "cut":
            self.close_connection = True

    def send(self, status, announced, sent):
        self.send_response(status)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(announced)))
        self.end_headers()
        self.wfile.write(sent)
