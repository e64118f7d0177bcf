"""`envport hub serve`, `publish`, `search`, `info`, `pull`: environments on a hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envport.cli.extras import require
from envport.cli.output import JsonFlag, print_json, print_table, printable, remark
from envport.cli.places import DEFAULT_HUB, HomeOption, HubOption, home_of
from envport.cli.transfer_bar import TransferBar

if TYPE_CHECKING:
    from envport_registry import VersionInfo

_RefArgument = Annotated[
    str, typer.Argument(metavar="NS/NAME[@VERSION]", help="The environment; @sha256:DIGEST pins its content.")
]


def register(app: typer.Typer) -> None:
    """Add `hub`, `publish`, `search`, `info` and `pull` to the command line."""
    group = typer.Typer(no_args_is_help=True, help="The server that holds published environments.")
    group.callback()(_group)
    group.command(name="serve")(serve)
    app.add_typer(group, name="hub")
    app.command(name="publish")(publish)
    app.command(name="search")(search)
    app.command(name="info")(info)
    app.command(name="pull")(pull)


def _group() -> None:
    # Typer makes a group of one command that command itself, unless the group has a callback.
    return


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8800,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the hub's database and bundles; by default ENVPORT_HOME/hub.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File of the publish token, made if missing; by default ENVPORT_HOME/hub/token.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Serve a hub until Ctrl-C. Reading is open to all who reach it; publishing needs its token.

    Example: envport hub serve --host 0.0.0.0 --port 8800 --data hub-data
    """
    require("sqlalchemy", "hub")
    require("uvicorn", "hub")
    require("fastapi", "hub")
    from envport_registry.hub_serving import serve_hub
    from envport_registry.tokens import token_file_of

    place = home_of(home)
    secret = (token_file or token_file_of(place)).absolute()

    def on_ready(url: str, created: bool) -> None:
        remark(f"the token for publishing is in {secret}" + (", made just now" if created else ""))
        print(f"envport hub: serving at {url}", flush=True)

    serve_hub((data or place / "hub").absolute(), secret, host, port, on_ready)


def publish(
    path: Annotated[Path, typer.Argument(help="The environment's folder, the one with envport.toml.")],
    namespace: Annotated[
        str | None, typer.Option(help="Where to publish it; by default the namespace in envport.toml.")
    ] = None,
    hub: HubOption = DEFAULT_HUB,
    token: Annotated[
        str | None,
        typer.Option(envvar="ENVPORT_TOKEN", help="The hub's token; not needed for a hub of yours on this machine."),
    ] = None,
    home: HomeOption = None,
    json: JsonFlag = False,
) -> None:
    """Publish an environment under the name and version of its envport.toml. A published version never changes.

    Example: envport publish envs/extraction --hub http://127.0.0.1:8800
    """
    import envport_registry

    secret = token or _own_token(hub, home_of(home))
    with TransferBar("publishing") as bar:
        done = envport_registry.publish(path, hub, secret, namespace, on_progress=bar)
    if json:
        print_json(
            {"ref": str(done.ref), "digest": done.digest, "created": done.created, "size_bytes": done.size_bytes}
        )
        return
    print(f"published {done.ref}" if done.created else f"{done.ref} is already published with this content")
    print(done.digest)


def search(
    query: Annotated[str, typer.Argument(help="Words of its name or summary; all must stand there.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to show.")] = 100,
    hub: HubOption = DEFAULT_HUB,
    json: JsonFlag = False,
) -> None:
    """List the environments on a hub, each with its default version.

    Example: envport search extraction
    """
    from envport_registry import HubClient

    with HubClient(hub) as client:
        found = client.search(query, limit)
    if json:
        print_json({"envs": [_as_json(version) for version in found]})
        return
    rows = [(f"{env.namespace}/{env.name}", env.version, env.licence, env.summary or None) for env in found]
    empty = f"nothing on {hub} matches" if query else f"nothing is published on {hub}; start by: envport publish PATH"
    print_table(("ENVIRONMENT", "VERSION", "LICENCE", "SUMMARY"), rows, empty=empty)


def info(ref: _RefArgument, hub: HubOption = DEFAULT_HUB, json: JsonFlag = False) -> None:
    """Show an environment on a hub, and its versions, highest first.

    Example: envport info envport/extraction@0.1.0
    """
    from envport_registry import EnvRef, HubClient

    wanted = EnvRef.parse(ref)
    with HubClient(hub) as client:
        chosen = client.version(wanted)
        env = client.env(wanted)
    if json:
        versions = [_as_json(version) for version in env.versions]
        print_json({**_as_json(chosen), "default": env.default, "versions": versions})
        return
    print(f"{env.namespace}/{env.name}@{chosen.version}")
    if chosen.summary:
        print(printable(chosen.summary))
    print(f"licence    {printable(chosen.licence or '-')}")
    print(f"digest     {chosen.digest}")
    print(f"size       {chosen.size_bytes} bytes")
    print(f"published  {chosen.published_at:%Y-%m-%d %H:%M} UTC")
    print()
    rows = [
        (version.version, f"{version.published_at:%Y-%m-%d}", version.digest, _mark(version, env.default))
        for version in env.versions
    ]
    print_table(("VERSION", "PUBLISHED", "DIGEST", "DEFAULT"), rows)


def pull(
    ref: _RefArgument,
    out: Annotated[
        Path | None, typer.Option(help="Also copy the environment into this new folder, to read or change it.")
    ] = None,
    hub: HubOption = DEFAULT_HUB,
    home: HomeOption = None,
    json: JsonFlag = False,
) -> None:
    """Fetch an environment into this machine's cache, with its content checked against its digest.

    Example: envport pull envport/extraction@0.1.0 --out extraction
    """
    import envport_registry

    with TransferBar("pulling") as bar:
        pulled = envport_registry.pull(ref, hub, home_of(home), on_progress=bar)
    folder = pulled.folder
    if out is not None:
        folder = out.absolute()
        envport_registry.unpack(envport_registry.verify_folder(pulled.folder, pulled.digest).tar, folder)
    if json:
        print_json({"ref": str(pulled.ref), "digest": pulled.digest, "folder": str(folder)})
        return
    print(f"pulled {pulled.ref}")
    print(pulled.digest)
    print(folder)


def _own_token(hub: str, home: Path) -> str | None:
    """The token of this machine's own hub. It is never sent to another machine."""
    from envport_registry.hub_client import is_loopback
    from envport_registry.tokens import read_token, token_file_of

    file = token_file_of(home)
    return read_token(file) if is_loopback(hub) and file.exists() else None


def _as_json(version: VersionInfo) -> dict[str, Any]:
    return version.model_dump(mode="json")


def _mark(version: VersionInfo, default: str) -> str | None:
    return "default" if version.version == default else None
