"""A website over a library: the standard library's threaded HTTP server, a thread for each request.

It holds one library open and only reads. This file knows nothing of who asks.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from index import Library, Query, curate, question
from index.thumbnails import read_thumbnail
from tests.index.given import Given


def website(root: Path) -> tuple[ThreadingHTTPServer, list[str]]:
    """A server on a free port of 127.0.0.1, and its pages: of JSON, or a thumbnail."""
    answers = pages(Library.open(root, Given()))

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                body, status = answers[self.path](), HTTPStatus.OK
            except Exception as error:  # whoever asked is told, and fails
                body, status = repr(error).encode(), HTTPStatus.INTERNAL_SERVER_ERROR
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Page), list(answers)


def pages(library: Library) -> dict[str, Callable[[], bytes]]:
    def newest() -> str:
        return library.list(Query(k=1))[0].id

    def thumbnail() -> bytes:
        data = read_thumbnail(newest(), library.root)
        assert data is not None
        return data

    found = Query("anything", everything=True)
    return {
        "/list": lambda: told([entry.id for entry in library.list(Query(k=20))]),
        "/search": lambda: told([hit.entry.id for hit in library.search(found).hits]),
        "/show": lambda: told(library.get(newest()).width),
        "/thumbnail": thumbnail,
        "/sets": lambda: told([each.name for each in curate.list_sets(library)]),
        "/info": lambda: told(library.info().pictures),
        "/question": lambda: told(
            sum(map(len, question.answer(library.store, "FROM library").batches))
        ),
    }


def told(answer: object) -> bytes:
    return json.dumps(answer).encode()


def get(address: tuple[str, int], page: str) -> bytes:
    """Ask as a browser does; fails unless the page came."""
    connection = http.client.HTTPConnection(*address)
    try:
        connection.request("GET", page)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    assert answer.status == HTTPStatus.OK, body
    return body
