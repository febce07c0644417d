"""A small server of the chat completions protocol on loopback, for tests of its client.

    with FakeOpenAIServer(reply=lambda messages: "hello") as server:
        client = OpenAI(base_url=server.url, ...)

It answers, waits, refuses a few times first, talks nonsense, or obeys an order in what it is sent (``fake_obedience``), and
remembers what it was sent.
"""

import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Messages = list[dict[str, str]]


def closed_port() -> str:
    """The address of an endpoint where nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{found.getsockname()[1]}/v1"


class FakeOpenAIServer:
    """Serves POST /v1/chat/completions on a free port of 127.0.0.1 while it is used as a context."""

    def __init__(
        self,
        reply: Callable[[Messages], str] = lambda messages: messages[-1]["content"],
        *,
        delay_s: float = 0.0,
        fail_first: int = 0,
        fail_status: int = 500,
        refuse_option: str = "",
        garbage: str = "",
        key: str = "",
    ) -> None:
        """``fail_first`` requests get ``fail_status`` (-1: all of them); ``refuse_option`` is a 400 naming that parameter;
        ``garbage`` is sent as the body of a 200; with a ``key``, other keys get a 401 that quotes what they sent.
        """
        self.reply, self.delay_s, self.garbage, self.key = reply, delay_s, garbage, key
        self.fail_first, self.fail_status, self.refuse_option = fail_first, fail_status, refuse_option
        self.requests: list[dict[str, Any]] = []  # bodies, in order of arrival
        self.authorizations: list[str] = []
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()

    def __enter__(self) -> "FakeOpenAIServer":
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # noqa: N802 - the base class calls it so
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, answer = owner.answer(body, self.headers.get("Authorization", ""))
                data = answer.encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client gave up waiting

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, body: dict[str, Any], authorization: str) -> tuple[int, str]:
        """(HTTP status, body) for one request."""
        with self._lock:
            self.requests.append(body)
            self.authorizations.append(authorization)
            number = len(self.requests)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        time.sleep(self.delay_s)
        with self._lock:
            self._now -= 1
        if self.key and authorization != f"Bearer {self.key}":
            return 401, _error(f"Incorrect API key provided: {authorization}")
        if number <= self.fail_first or self.fail_first < 0:
            return self.fail_status, _error(f"try later; your header was {authorization}")
        if self.refuse_option in body:
            return 400, _error(f"{self.refuse_option} is not supported", self.refuse_option)
        return 200, self.garbage or _completion(body["model"], self.reply(body["messages"]))


def fake_obedience(order: str, says: str, otherwise: Callable[[Messages], str]) -> Callable[[Messages], str]:
    """The reply of a fake model that does what ``order`` tells it: it ``says`` that whenever a message holds the order, wherever
    it stands in there, and else replies as ``otherwise``.
    """

    def reply(messages: Messages) -> str:
        return says if any(order in message["content"] for message in messages) else otherwise(messages)

    return reply


def _completion(model: str, text: str) -> str:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": model, "choices": [choice]})


def _error(message: str, param: str | None = None) -> str:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", "param": param, "code": None}})
