"""A hub on loopback: one repository as the Hugging Face hub serves it, cut off at will."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What is served, what goes wrong with it, and what was asked.

    lie: a file whose content is another than its checksum says
    cut: a file of which the first answer gives so many bytes and ends; the next ones are refused
    asked: (method, path, range, authorization) of each request
    """

    repo: str
    files: Mapping[str, bytes]
    large: frozenset[str]
    url: str = ""
    lie: str | None = None
    cut: tuple[str, int] | None = None
    asked: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)

    def about(self) -> dict[str, object]:
        """The answer of /api/models/REPO?blobs=true."""
        return {"id": self.repo, "sha": COMMIT, "siblings": [self._sibling(n) for n in self.files]}

    def _sibling(self, name: str) -> dict[str, object]:
        data = self.files[name]
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        told: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": git}
        if name in self.large:
            digest = hashlib.sha256(data).hexdigest()
            told["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 134}
        return told


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve on a free port of loopback."""

    class Handler(_Handler):
        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    served: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        hub, path = self.served, self.path.partition("?")[0]
        span = self.headers.get("Range")
        hub.asked.append(("GET", path, span, self.headers.get("Authorization")))
        if path in (f"/api/models/{hub.repo}", f"/api/models/{hub.repo}/revision/main"):
            self._answer(200, json.dumps(hub.about()).encode())
            return
        name = path.removeprefix(f"/{hub.repo}/resolve/{COMMIT}/")
        if name not in hub.files:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        data = hub.files[name]
        if name == hub.lie:
            data = data[:-1] + bytes([data[-1] ^ 1])
        if hub.cut and name == hub.cut[0] and hub.asked.count(hub.asked[-1]) + bool(span) > 1:
            self._answer(503, b"{}")
            return
        start = int(span.removeprefix("bytes=").partition("-")[0]) if span else 0
        self._give(name, data, start)

    def _give(self, name: str, data: bytes, start: int) -> None:
        rest = data[start:]
        given = rest
        if self.served.cut and self.served.cut[0] == name:
            given = rest[: self.served.cut[1]]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(given)
        self.close_connection = given != rest

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""
