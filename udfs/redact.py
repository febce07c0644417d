"""Addresses and settings without their secrets: what is shown to people, stored in tables and written to logs."""

import re
from typing import Any
from urllib.parse import parse_qsl

ADVICE = (
    "leave it out: set it in the environment (such as FSSPEC_FTP_PASSWORD) or in ~/.config/fsspec, and for Spark in spark.conf"
)

_ADDRESS = re.compile(r'[A-Za-z][\w+.-]*://[^\s"<>]*')
# Up to the last @ before the path; behind what is a user and no port up to the next @ at all, as some keys have a slash.
_USER = re.compile(r"(?<=://)(?:[^/?#\s]*@|[^/?#\s@\[]*:(?!\d+(?:[/?#\s'),;]|$))\S*?@)")
_QUERY = re.compile(r"[?#][^\s'\"<>]*")
_SECRET_NAMES = ("key", "keyid", "token", "secret", "sig", "signature", "password", "passwd", "pwd", "auth", "credential")


def without_secrets(value: Any) -> Any:
    """A tree or text whose addresses have lost user and query: ``http://me:key@host/v1?key=1`` becomes ``http://host/v1``."""
    if isinstance(value, dict):
        return {name: without_secrets(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    if not isinstance(value, str) or "://" not in value:
        return value
    return _ADDRESS.sub(lambda address: _QUERY.sub("", _USER.sub("", address[0])), value)


def has_secret(address: str) -> bool:
    """Whether an address has a password, or a parameter that is named like a key.

    On the web a user alone counts too, as some services take a token for one. Elsewhere it does not: ``abfss://container@account``.
    """
    user = _USER.search(address)
    if user and (":" in user[0] or address.startswith(("http://", "https://"))):
        return True
    names = (name.lower() for name, _ in parse_qsl(address.partition("?")[2], keep_blank_values=True))
    return "://" in address and any(name.endswith(_SECRET_NAMES) for name in names)
