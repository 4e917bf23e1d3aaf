"""A hub of models on this machine: the four requests with which huggingface_hub fetches a snapshot.

It serves one folder as every model at every revision; the commit is a digest of the revision's name. With a token every
model is gated, and the answers to those who do not show it are those of the real hub.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextmanager
def serve(folder: Path, token: str | None = None) -> Iterator[str]:
    """The address of a hub that runs as long as the context is open, on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(folder, token))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _handler(folder: Path, token: str | None) -> type[BaseHTTPRequestHandler]:
    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(body=True)

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def answer(self, body: bool) -> None:
            if token and self.headers["Authorization"] != f"Bearer {token}":
                self.refuse()
                return
            parts = self.path.split("?")[0].strip("/").split("/")
            match parts:
                case ["api", "models", owner, name, "revision", revision]:
                    files = [{"rfilename": file.name} for file in sorted(folder.iterdir())]
                    answer = {"id": f"{owner}/{name}", "sha": commit(revision), "siblings": files}
                    self.send(json.dumps(answer).encode(), revision, body)
                case ["api", "models", _, _, "tree", revision]:
                    files = [(file.name, file.read_bytes()) for file in sorted(folder.iterdir())]
                    tree = [{"type": "file", "path": n, "size": len(c), "oid": digest(c)} for n, c in files]
                    self.send(json.dumps(tree).encode(), revision, body)
                case [_, _, "resolve", revision, file]:
                    self.send((folder / file).read_bytes(), revision, body)
                case _:
                    self.send_error(404)

        def send(self, content: bytes, revision: str, body: bool) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{digest(content)}"')
            self.send_header("X-Repo-Commit", revision)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def refuse(self) -> None:
            self.send_response(403 if self.headers["Authorization"] else 401)
            self.send_header("X-Error-Code", "GatedRepo")
            self.send_header("X-Error-Message", "Access to this model is restricted.")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_) -> None:
            """Quiet."""

    return Hub


def digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def commit(revision: str) -> str:
    """What stands for the commit of a revision; a commit stands for itself."""
    return revision if len(revision) == 40 else digest(revision.encode())
