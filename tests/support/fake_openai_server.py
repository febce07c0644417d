"""A small server of the chat completions protocol on loopback, for tests of its client.

    with FakeOpenAIServer(reply=lambda messages: "hello") as server:
        client = OpenAI(base_url=server.url, ...)

It answers, waits, fails the first few requests, sends garbage, sends bytes as it likes (``dripping``, ``endless``), or obeys an
order in a message (``fake_obedience``), and records every request.
"""

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Messages = list[dict[str, str]]


def closed_port() -> str:
    """The address of an endpoint where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/v1"


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
        garbage: str | None = None,
        raw: Callable[[], Iterable[bytes]] | None = None,
        key: str = "",
    ) -> None:
        """``fail_first`` requests get ``fail_status`` (-1: all of them); ``refuse_option`` is a 400 naming that parameter;
        ``garbage`` is sent as the body of a 200; ``raw`` gives the pieces of an answer, its head included; with a ``key``, other
        keys get a 401 that quotes what they sent.
        """
        self.reply, self.delay_s, self.garbage, self.raw, self.key = reply, delay_s, garbage, raw, key
        self.fail_first, self.fail_status, self.refuse_option = fail_first, fail_status, refuse_option
        self.requests: list[dict[str, Any]] = []  # bodies, in order of arrival
        self.authorizations: list[str] = []
        self.paths: list[str] = []
        self.sent = 0  # bytes of raw answers that left
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()

    def __enter__(self) -> "FakeOpenAIServer":
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # noqa: N802 - the base class sets the name
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.paths.append(self.path)
                status, answer = owner.answer(body, self.headers.get("Authorization", ""))
                data = answer.encode()
                try:
                    if owner.raw:
                        self.close_connection = True
                        for piece in owner.raw():
                            self.wfile.write(piece)
                            owner.sent += len(piece)
                        return
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
        return 200, _completion(body["model"], self.reply(body["messages"])) if self.garbage is None else self.garbage


def fake_obedience(order: str, says: str, otherwise: Callable[[Messages], str]) -> Callable[[Messages], str]:
    """The reply function of a fake model that obeys ``order``: it replies ``says`` if any message contains the order, at any
    position, and otherwise as ``otherwise`` does.
    """

    def reply(messages: Messages) -> str:
        return says if any(order in message["content"] for message in messages) else otherwise(messages)

    return reply


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def dripping(pause_s: float, head: bool) -> Iterator[bytes]:
    """A byte now and then, for ever: of the head, or of the body after it."""
    yield HEAD if head else HEAD + b"\r\n"
    yield b"X-Slow: " if head else b"{"
    while True:
        time.sleep(pause_s)
        yield b" "


def endless() -> Iterator[bytes]:
    """A body that never ends."""
    return itertools.chain([HEAD + b"\r\n{"], itertools.repeat(b" " * (1 << 16)))


def _completion(model: str, text: str) -> str:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": model, "choices": [choice]})


def _error(message: str, param: str | None = None) -> str:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", "param": param, "code": None}})
