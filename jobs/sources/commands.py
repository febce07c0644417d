"""``dualset ingest KIND``: one command a source, with the source's own options, then those of every source."""

from collections.abc import Callable
from types import ModuleType
from typing import Annotated, Any

import typer

from jobs.console import Profile, Root, Set, parameter, with_parameters
from jobs.sources import COMMON, SOURCES

# (kind, the source's options, root, profile, overrides)
Ingest = Callable[[str, dict[str, Any], str, str, list[str] | None], None]


def source_app(ingest: Ingest) -> typer.Typer:
    """The commands of all sources; each calls ``ingest`` with what it was given."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Read a source into the tables; run again to take what arrived since.",
    )
    for kind, module in SOURCES.items():
        app.command(kind, help=(module.__doc__ or kind).splitlines()[0])(_command(kind, module, ingest))
    return app


def _command(kind: str, module: ModuleType, ingest: Ingest) -> Callable[..., None]:
    def command(**options: Any) -> None:
        root, profile, overrides = (options.pop(name) for name in ("root", "profile", "set_"))
        ingest(kind, options, root, profile, overrides)

    parameters = [
        parameter(name, Annotated[str | None, typer.Option(help=text)], *(() if name in module.REQUIRED else (None,)))
        for name, text in {**module.OPTIONS, **COMMON}.items()
    ]
    parameters += [parameter("root", Root), parameter("profile", Profile, "photos"), parameter("set_", Set, None)]
    return with_parameters(command, parameters)
