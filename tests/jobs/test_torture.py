"""What `python -m tests.torture` says of what it does; a round takes minutes, and is run by hand."""

from tests.torture import Command, differences


def test_a_command_says_what_befalls_it() -> None:
    assert str(Command(("run",), 0.0, 3.2, full_disk=False)) == "run (at 0.0 s, killed 3.2 s later)"
    assert str(Command(("publish",), 1.0, None, full_disk=True)) == "publish (at 1.0 s, full disk)"


def test_tables_are_compared_by_what_they_say() -> None:
    row = {"n": 1, "run_id": "a"}
    assert differences({"x": row}, {"x": row | {"run_id": "b"}}) == []
    assert differences({"x": row}, {"x": row | {"n": 2}}) == ["x.n: 1 instead of 2"]
    assert differences({"x": row}, {"y": row}) == ["only under torture: x", "lost: y"]
