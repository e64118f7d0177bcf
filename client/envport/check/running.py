"""Running the checks against a target, and ending whatever they opened."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from envport_protocol.errors import EnvportError, UnauthorizedError

from envport.check.catalogue import chosen
from envport.check.definition import BrokenError, NotApplicableError
from envport.check.launching import folder_launcher
from envport.check.probe import Access, Probe
from envport.check.report import Finding, Report, Status
from envport.check.truths import Truths
from envport.check.wire import Archive, Wire, open_session
from envport.errors import NotAnEnvironmentError, TransportError
from envport.handshake import checked_url

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from envport_protocol import BaseEnv

    from envport.check.definition import Check
    from envport.check.launching import Launcher, Server

_READY_TIMEOUT_S = 30.0
_POLL_S = 0.1


async def run(
    target: str | Path,
    *,
    project: Path | BaseEnv | None = None,
    only: Iterable[str] = (),
    seed: int = 0,
    timeout_s: float = 60.0,
    access: Access | None = None,
    launcher: Launcher | None = None,
    on_check: Callable[[str], object] = lambda name: None,
) -> Report:
    """What the checks find at a URL, or of an environment's folder, which is then served for them.

    `project` is the environment behind a URL, or its folder: its code knows the ground truth and the oracle. `only` are
    the names of the checks to run, by default all. `timeout_s` is how long an answer may take. `access` are the tokens
    of a server that asks for some. `launcher` starts further servers of the environment behind a URL, for the checks
    that fill or kill one; a folder has its own. `on_check` is told the name of each check as it begins.

    The server should have no other clients meanwhile: some checks count what it does, or fill it.

    Raises:
        EnvportError: no environment answers there, it cannot be served, or there is no check of that name.
    """
    checks = chosen(only)
    begun = time.monotonic()
    async with AsyncExitStack() as stack:
        if is_url(target):
            truths = await Truths.of(project) if project else None
            bench = await stack.enter_async_context(_Bench(launcher, seed, timeout_s, truths))
            probe = await stack.enter_async_context(bench.connected(str(target), access or Access()))
        else:
            folder = Path(target)
            truths = await Truths.of(project or folder)
            bench = await stack.enter_async_context(_Bench(folder_launcher(folder), seed, timeout_s, truths))
            probe = await bench.shared({"request_timeout_s": 2.0})
        findings = await _findings(checks, probe, on_check)
    return _report(str(target), probe.manifest, findings, time.monotonic() - begun)


def is_url(target: str | Path) -> bool:
    """Whether the target is a URL; else it is a folder."""
    return isinstance(target, str) and target.startswith(("http://", "https://"))


class _Bench:
    """Makes probes of servers, all with the same settings of this run."""

    def __init__(self, launcher: Launcher | None, seed: int, timeout_s: float, truths: Truths | None) -> None:
        self._launcher = launcher
        self._seed = seed
        self._timeout_s = timeout_s
        self._truths = truths
        self._archive = Archive()
        self._stack = AsyncExitStack()
        self._shared: dict[str, Probe] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def shared(self, config: dict[str, Any]) -> Probe:
        """The probe of the one server of this run with these settings, which runs until its end."""
        key = json.dumps(config, sort_keys=True)
        if key not in self._shared:
            self._shared[key], _ = await self._stack.enter_async_context(self.launched(config))
        return self._shared[key]

    @asynccontextmanager
    async def launched(self, config: dict[str, Any]) -> AsyncGenerator[tuple[Probe, Server]]:
        """A server with its probe, until the block is left."""
        assert self._launcher is not None
        async with self._launcher(config) as server, self.connected(server.url, server.access) as probe:
            yield probe, server

    @asynccontextmanager
    async def connected(self, url: str, access: Access) -> AsyncGenerator[Probe]:
        """The probe of a server, once that is ready."""
        async with open_session() as session:
            wire = Wire(checked_url(url), session, self._archive, token=access.trainer, timeout_s=self._timeout_s)
            yield Probe(
                wire,
                await _manifest(wire),
                access=access,
                asks_for_tokens=(await wire.using(None).post("list_tools", {})).status == 401,
                seed=self._seed,
                truths=self._truths,
                bench=self if self._launcher else None,
            )


async def _manifest(wire: Wire) -> dict[str, Any]:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while True:
        try:
            reply = await wire.get("/v1/manifest")
        except BrokenError as error:
            raise TransportError(wire.url, f"{error}; is an environment served there?") from error
        if reply.status != 503 or time.monotonic() > deadline:
            break
        await asyncio.sleep(_POLL_S)
    try:
        manifest = reply.json if reply.status == 200 else None
    except BrokenError:
        manifest = None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("protocol"), dict):
        raise NotAnEnvironmentError(wire.url, f"no environment answers there: {reply.told}")
    if (await wire.post("list_tools", {})).status == 401:
        raise UnauthorizedError(
            f"{wire.url} asks for a token"
            + (", and not for the one given" if wire.token else "")
            + "; give the trainer's by ENVPORT_ENV_TOKEN and the agent's by ENVPORT_AGENT_TOKEN"
        )
    return manifest


async def _findings(checks: tuple[Check, ...], probe: Probe, on_check: Callable[[str], object]) -> tuple[Finding, ...]:
    """Slow checks wait for the server beside the others."""
    async with asyncio.TaskGroup() as group:
        slow = {check.name: group.create_task(_finding(check, probe)) for check in checks if check.is_slow}
        findings: dict[str, Finding] = {}
        for check in checks:
            if not check.is_slow:
                on_check(check.name)
                findings[check.name] = await _finding(check, probe)
        for name, task in slow.items():
            on_check(name)
            findings[name] = await task
    return tuple(findings[check.name] for check in checks)


async def _finding(check: Check, probe: Probe) -> Finding:
    begun = time.monotonic()
    own = probe.for_check()
    try:
        status, seen = Status.PASSED, await check.run(own)
    except BrokenError as error:
        status, seen = Status.FAILED, str(error)
    except NotApplicableError as error:
        status, seen = Status.NOT_APPLICABLE, str(error)
    except EnvportError as error:
        status, seen = Status.FAILED, f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 - an answer that nobody foresaw must fail its check, not the run
        status, seen = Status.FAILED, f"an answer has not the form of the protocol ({type(error).__name__}: {error})"
    finally:
        await own.end_all()
    return Finding(
        check.name, check.promise, status, seen, check.expected, check.remedy, round(time.monotonic() - begun, 3)
    )


def _report(target: str, manifest: dict[str, Any], findings: tuple[Finding, ...], seconds: float) -> Report:
    spoken = manifest["protocol"]
    return Report(
        target=target,
        environment=str(manifest.get("name")),
        version=str(manifest.get("version")),
        digest=manifest.get("digest"),
        protocol=f"{spoken.get('min')} to {spoken.get('max')}",
        seconds=round(seconds, 3),
        findings=findings,
    )
