"""Secrets in addresses are found, and taken out of what is shown and stored."""

import pytest

from udfs.redact import has_secret, without_secrets


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://me:pw@host:8000/v1?key=pw", "http://host:8000/v1"),
        ("https://pw@host/a.jpg", "https://host/a.jpg"),
        ("ftp://me:p'w@host/a.jpg", "ftp://host/a.jpg"),
        ("ftp://me:p@ss@host/folder", "ftp://host/folder"),
        ("s3://AKIA:pw/pw+pw@bucket/a.jpg", "s3://bucket/a.jpg"),
        ("https://host/a.tar?X-Amz-Signature=pw&X-Amz-Date=1", "https://host/a.tar"),
        ("https://account.blob.core.windows.net/c/a.tar?sv=2024&sig=pw", "https://account.blob.core.windows.net/c/a.tar"),
    ],
)
def test_a_secret_is_found_and_taken_out(address: str, shown: str) -> None:
    assert has_secret(address)
    assert without_secrets(address) == shown
    said = without_secrets(f"reading '{address}' failed (see https://me:pw@docs/x?token=pw : gone")
    assert said == f"reading '{shown}' failed (see https://docs/x : gone"
    assert without_secrets({"a": [{"b": address}]}) == {"a": [{"b": shown}]}


@pytest.mark.parametrize(
    "address",
    [
        *("/data/a:b@c/d?key=e.jpg", "s3://bucket/shard-{000..012}.tar", "s3://bucket/shard-???.tar", "http://host:8000/v1"),
        *("abfss://container@account.dfs.core.windows.net/a", "hdfs://user@host:8020/a", "http://[::1]:8000/a@b", "dbfs:/a"),
        *("https://host/a.parquet?download=true", "file:///data/a:b@c.jpg", "spark://host:7077"),
    ],
)
def test_an_address_without_a_secret_is_none(address: str) -> None:
    assert not has_secret(address)


def test_text_without_a_secret_is_kept() -> None:
    line = '{"base_url":"http://localhost:8000","spark":{"master":"spark://host:7077"},"note":"me@host?"}'
    for text in (
        line,
        "('http://h:1', 'a@b')",
        "what? me@host: 7 # no",
        "at http://host:8000/v1, then s3://bucket/w.pt",
        "/data/a?b#c.jpg",
        7,
        None,
    ):
        assert without_secrets(text) == text
