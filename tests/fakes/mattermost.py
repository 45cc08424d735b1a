"""A Mattermost for tests: one real HTTP server that takes posts as the server's API does (`POST /api/v4/posts`)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MESSAGE_MAX = 16_383
CHANNEL = "4xp9fdt77pncbef59f4k1qe83o"


class Mattermost:
    """What was posted, oldest first. `token` is the one it takes; with `down` it cuts every connection."""

    def __init__(self) -> None:
        self.token, self.down = "bot-token-1", False
        self.posts: dict[str, str] = {}

    def answer(self, authorization: str | None, post: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """What the server says to a post: one with a pending id that was seen is there already."""
        if authorization != f"Bearer {self.token}":
            return 401, {"id": "api.context.session_expired.app_error", "status_code": 401}
        if post["channel_id"] != CHANNEL:
            return 403, {"id": "api.context.permissions.app_error", "status_code": 403}
        if not 0 < len(post["message"]) <= MESSAGE_MAX:
            return 400, {"id": "model.post.is_valid.message_length.app_error", "status_code": 400}
        self.posts.setdefault(post["pending_post_id"], post["message"])
        return 201, {"id": f"post{len(self.posts)}", "channel_id": CHANNEL}


@contextmanager
def running_mattermost() -> Iterator[tuple[Mattermost, str]]:
    """A Mattermost and its address, until the block ends."""
    state = Mattermost()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            post = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if state.down:
                self.connection.close()
                return
            found = self.path == "/api/v4/posts"
            status, body = state.answer(self.headers["Authorization"], post) if found else (404, {})
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield state, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
