"""A loopback server with the layout of the open data of Deutscher Wetterdienst, as nginx serves it.

Files have ETag and Last-Modified; Range is honoured if If-Range still holds. Faults are queued a path:
an HTTP status, alone or with a Retry-After; ``drop`` (the connection breaks half-way), ``stall`` (it falls
silent there), ``short`` (it is closed there, properly), ``less`` (Content-Length says half), ``encoded``
(Content-Encoding is said), ``weak`` (the ETag is weak), ``bare`` (no ETag, no Last-Modified), ``chunked`` (no
length is said), ``deaf`` (If-Range is ignored), or another address to be redirected to.
"""

import hashlib
import re
import socket
import threading
from collections import defaultdict, deque
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class DwdServer:
    """The server on a free port of 127.0.0.1 until the context ends.

    Attributes:
        url: its address.
        files: path without leading slash to content.
        faults: path to faults still to come.
        requests: (path, Range header or None) of each request, in the order they came.
    """

    def __init__(self, context=None):
        self.files, self.faults, self.requests = {}, defaultdict(deque), []
        self.silence = threading.Event()  # set: stalled connections end
        self._context = context

    def __enter__(self):
        handler = type("Handler", (_Handler,), {"site": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # clients that leave are part of the tests
        if self._context:
            self.server.socket = self._context.wrap_socket(self.server.socket, server_side=True)
        scheme = "https" if self._context else "http"
        self.url = f"{scheme}://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.silence.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def listing(self, folder):
        """Names below a folder, as nginx lists them; None if there is no such folder."""
        inside = [path[len(folder) + 1 :] for path in self.files if path.startswith(f"{folder}/")]
        names = sorted({re.sub("/.*", "/", name) for name in inside})
        links = "".join(f'<a href="{name}">{name}</a>\r\n' for name in ["../", *names])
        return f"<html><pre>{links}</pre></html>".encode() if names else None


class _Handler(BaseHTTPRequestHandler):
    site: DwdServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.strip("/")
        self.site.requests.append((path, self.headers.get("Range")))
        fault = self.site.faults[path].popleft() if self.site.faults[path] else None
        content = self.site.files.get(path, self.site.listing(path))
        if isinstance(fault, tuple):
            self.reply(fault[0], b"no", **{"Retry-After": fault[1]})
        elif isinstance(fault, int) or content is None:
            self.reply(fault if isinstance(fault, int) else 404, b"no")
        elif fault and "://" in fault:
            self.reply(302, b"", Location=fault)
        else:
            self.content(content, fault)

    def content(self, whole, fault):
        etag = f'"{hashlib.sha256(whole).hexdigest()[:16]}"'
        headers = {"ETag": etag, "Last-Modified": formatdate(10**9 + len(whole) % 1000, usegmt=True)}
        if fault in ("weak", "bare"):
            headers["ETag"] = f"W/{etag}"
        if fault == "bare":
            headers = {}
        if fault == "encoded":
            headers["Content-Encoding"] = "x-gzip"
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        holds = self.headers.get("If-Range") in headers.values() or fault == "deaf"
        start = int(asked[1]) if asked and holds else 0
        if asked and holds and start >= len(whole):
            self.reply(416, b"", **headers)
            return
        if asked and holds:
            headers["Content-Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        self.body(206 if asked and holds else 200, whole[start:], headers, fault)

    def body(self, status, rest, headers, fault):
        half = rest[: len(rest) // 2]
        if fault == "less":
            self.reply(status, half, **headers)
        elif fault == "chunked":
            self.reply(status, None, **{"Transfer-Encoding": "chunked"}, **headers)
            self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))
        elif fault in ("drop", "stall", "short"):
            self.reply(status, None, **{"Content-Length": str(len(rest))}, **headers)
            self.wfile.write(half)
            self.wfile.flush()
            if fault == "stall":
                self.site.silence.wait(20)
            if fault == "drop":  # with a reset instead of a proper end
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.close_connection = True
        else:
            self.reply(status, rest, **headers)

    def reply(self, status, content, **headers):
        self.send_response(status)
        if content is not None:
            headers["Content-Length"] = str(len(content))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if content is not None:
            self.wfile.write(content)
