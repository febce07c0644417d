"""The HTTP client below the official one: an answer must be whole within a time and a size, and no log line has a secret.

The time limits of HTTP libraries hold for each read: an endpoint that sends a byte now and then keeps a call for ever. Here one
deadline covers a whole call, from connecting to the last byte. Its own thread carries it, as each call is made in one thread.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import httpcore2
import httpx2

from udfs.redact import without_secrets

if TYPE_CHECKING:
    import ssl

MAX_BYTES = 4 << 20  # of an answer; most have a few hundred

_call = threading.local()


class UnboundedAnswer(ValueError):
    """An answer of more than ``MAX_BYTES``, or a compressed one, which would unpack to nobody knows how much."""


class BoundedClient(httpx2.Client):
    """A client whose calls take ``timeout_s`` seconds at most, and whose answers ``MAX_BYTES``.

    Proxies of the environment are used as ever.
    """

    def __init__(self, timeout_s: float, auth: tuple[str, str] | None) -> None:
        """``auth``: user and password of the address, which must not hold them itself."""
        super().__init__(timeout=timeout_s, auth=auth, follow_redirects=True, headers={"Accept-Encoding": "identity"})
        self._timeout_s = timeout_s
        for transport in (self._transport, *self._mounts.values()):
            if isinstance(transport, httpx2.HTTPTransport):
                # httpx lets nobody pass a backend, and takes no proxy from the environment beside a transport of one's own.
                transport._pool._network_backend = _Backend(transport._pool._network_backend)
        log = logging.getLogger("httpx2")  # it logs each request with its address
        if _hide_secrets not in log.filters:
            log.addFilter(_hide_secrets)

    def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        """The answer, read.

        Raises:
            UnboundedAnswer: it is too long, or compressed.
            httpx2.TransportError: it did not come, or not in time.
        """
        _call.deadline = time.monotonic() + self._timeout_s
        response = super().send(request, stream=True, **options)
        try:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise UnboundedAnswer("compressed, though identity was asked for")
            body = bytearray()
            for part in response.iter_raw():
                body += part
                if len(body) > MAX_BYTES:
                    raise UnboundedAnswer(f"more than {MAX_BYTES} bytes")
        finally:
            response.close()
            _call.deadline = None
        headers = [pair for pair in response.headers.multi_items() if pair[0].lower() != "transfer-encoding"]
        return httpx2.Response(response.status_code, headers=headers, content=bytes(body), request=response.request)


class _Stream(httpcore2.NetworkStream):
    """A connection that waits no longer than the deadline of the call that uses it."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout, httpcore2.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: "ssl.SSLContext", server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, _left(timeout, httpcore2.ConnectTimeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore2.NetworkBackend):
    def __init__(self, backend: httpcore2.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        left = _left(timeout, httpcore2.ConnectTimeout)
        return _Stream(self._backend.connect_tcp(host, port, left, local_address, socket_options))


def _left(timeout: float | None, late: Callable[[str], Exception]) -> float | None:
    """The seconds that an operation may take."""
    deadline = getattr(_call, "deadline", None)
    if deadline is None:
        return timeout
    left = deadline - time.monotonic()
    if left <= 0:
        raise late("the call's time is up")
    return left if timeout is None else min(left, timeout)


def _hide_secrets(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(without_secrets(str(value)) if isinstance(value, httpx2.URL) else value for value in record.args)
    return True
