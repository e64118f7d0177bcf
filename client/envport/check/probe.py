"""What a check works with: one server, asked by hand-made requests, and rollouts that are ended after it."""

from __future__ import annotations

import asyncio
import random
import secrets
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from envport.check.arguments import arguments_for
from envport.check.definition import NotApplicableError
from envport.check.expectations import good
from envport.check.prometheus import read_samples
from envport.check.rollout import Call, Rollout

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

    from envport.check.launching import Server
    from envport.check.prometheus import Samples
    from envport.check.truths import Truths
    from envport.check.wire import Reply, Wire

NO_SUCH_TOOL = "envport-check-no-such-tool"
_CLEANUP_TIMEOUT_S = 15.0
_ENDS_AT_A_TIME = 64
_ON_ITS_WAY_S = 0.1
_MADE_UP_TRUTH = "envport-check-truth"


@dataclass(frozen=True, slots=True)
class Access:
    """The bearer tokens of a server; all None where it asks for none."""

    trainer: str | None = None
    agent: str | None = None


class Bench(Protocol):
    """Starts further servers of the environment under check."""

    def launched(self, config: dict[str, Any]) -> AbstractAsyncContextManager[tuple[Probe, Server]]:
        """A server of one's own with these settings, until the block is left."""
        ...

    async def shared(self, config: dict[str, Any]) -> Probe:
        """The one server of this run with these settings."""
        ...


class Probe:
    """One server under check. `bench` starts others of the same environment, where that can be done."""

    def __init__(
        self,
        wire: Wire,
        manifest: dict[str, Any],
        *,
        access: Access = Access(),
        asks_for_tokens: bool = False,
        seed: int = 0,
        truths: Truths | None = None,
        bench: Bench | None = None,
    ) -> None:
        self.wire = wire
        self.manifest = manifest
        self.access = access
        self.asks_for_tokens = asks_for_tokens
        self.seed = seed
        self.truths = truths
        self._bench = bench
        self._opened: dict[str, Wire] = {}
        self._prefix = f"check-{secrets.token_hex(4)}"
        self._numbers = count()

    @property
    def limits(self) -> dict[str, Any]:
        """What the manifest says that the server allows."""
        limits: dict[str, Any] = self.manifest.get("limits", {})
        return limits

    @property
    def can_launch(self) -> bool:
        """Whether other servers of the environment can be started."""
        return self._bench is not None

    @property
    def splits(self) -> list[dict[str, Any]]:
        """The splits that hold a task."""
        return [split for split in self.manifest.get("splits", []) if split.get("size") != 0]

    def can(self, capability: str) -> bool:
        """Whether the manifest names the capability."""
        return capability in self.manifest.get("capabilities", [])

    def needs(self, capability: str) -> None:
        """Passes where the manifest names the capability.

        Raises:
            NotApplicableError: it does not.
        """
        if not self.can(capability):
            raise NotApplicableError(f"the environment has not the capability {capability!r}")

    def needs_version(self, *version: int) -> None:
        """Passes where the server speaks this version of the protocol.

        Raises:
            NotApplicableError: it speaks only older ones.
        """
        highest = str(self.manifest["protocol"].get("max", "1.0"))
        if tuple(int(part) for part in highest.split(".")) < version:
            since = ".".join(map(str, version))
            raise NotApplicableError(f"the server speaks protocol {highest}, and this came with {since}")

    def for_check(self) -> Probe:
        """The same server for one check, which knows the rollouts of this check alone."""
        return Probe(
            self.wire,
            self.manifest,
            access=self.access,
            asks_for_tokens=self.asks_for_tokens,
            seed=self.seed,
            truths=self.truths,
            bench=self._bench,
        )

    @asynccontextmanager
    async def served(self, **config: Any) -> AsyncGenerator[Probe]:
        """Another server of the environment, set by `config`. Checks that ask for the same one share it.

        Raises:
            NotApplicableError: none can be started here.
        """
        other = (await self._launcher.shared(config)).for_check()
        try:
            yield other
        finally:
            await other.end_all()

    @asynccontextmanager
    async def mortal(self, **config: Any) -> AsyncGenerator[tuple[Probe, Server]]:
        """Another server of the environment, to be killed, until the block is left.

        Raises:
            NotApplicableError: none can be started here.
        """
        async with self._launcher.launched(config) as (other, server):
            yield other, server

    @property
    def _launcher(self) -> Bench:
        if self._bench is None:
            raise NotApplicableError(
                "a server behind a URL cannot be set otherwise or killed; give the environment's folder instead"
            )
        return self._bench

    def new_id(self, suffix: str = "") -> str:
        """An id that nobody used."""
        return f"{self._prefix}-{next(self._numbers)}{suffix}"

    def sibling(self, rollout_id: str) -> str:
        """A new id with the routing key of another, the part before its first dot. It is ended after the check."""
        made = f"{rollout_id.partition('.')[0]}.{next(self._numbers)}-fork"
        self.will_open(made)
        return made

    def task(self, number: int = 0) -> dict[str, Any]:
        """How a start names a task: one of the environment's own, else a message."""
        if not self.splits:
            messages = [{"role": "user", "content": f"This is message {number} of a conformance check."}]
            return {"messages": messages, "ground_truth": _MADE_UP_TRUTH}
        split = self.splits[0]
        return {"split": split["name"], "index": number % (split.get("size") or 2**31)}

    def start_body(self, number: int = 0, **more: Any) -> dict[str, Any]:
        """The body of a start_rollout with a new id. The rollout is ended after the check."""
        return {"rollout_id": self.new_id(), **self.task(number), "seed": self.seed, **more}

    async def ask_start(self, body: dict[str, Any], wire: Wire | None = None) -> Reply:
        """The answer to this start, whatever it is."""
        was_open = body["rollout_id"] in self._opened
        self.will_open(body["rollout_id"])
        reply = await (wire or self.wire).post("start_rollout", body)
        if reply.status >= 400 and not was_open:
            self._opened.pop(body["rollout_id"], None)
        return reply

    async def start(self, number: int = 0, *, wire: Wire | None = None, **more: Any) -> Rollout:
        """A rollout that was started.

        Raises:
            BrokenError: it was not.
        """
        body = self.start_body(number, **more)
        reply = await self.ask_start(body, wire)
        good(reply)
        return Rollout(body, reply, wire or self.wire)

    def will_open(self, rollout_id: str) -> None:
        """The rollout is ended after the check, where it came to be."""
        self._opened[rollout_id] = self.wire

    def calls(self, how_many: int = 1) -> list[Call]:
        """Calls of the environment's tools in turn, the same for the same seed.

        A tool for which no arguments can be made is called with some that its schema refuses. An environment without
        tools is called by a name that it does not have. Both have an answer too.
        """
        tools: list[dict[str, Any]] = self.manifest.get("tools") or [{"name": NO_SUCH_TOOL}]
        chance = random.Random(self.seed)  # noqa: S311 - the same calls for the same seed
        calls: list[Call] = []
        for number in range(how_many):
            tool = tools[number % len(tools)]
            made = arguments_for(tool.get("parameters") or {"type": "object"}, chance)
            calls.append(Call(tool["name"], made if made is not None else {"envport-check": "no such argument"}))
        return calls

    async def metrics(self) -> Samples:
        """What `/metrics` counts now."""
        return read_samples(await self.wire.get("/metrics"))

    async def end_all(self) -> None:
        """Ends what the check opened and did not end."""
        opened, self._opened = self._opened, {}
        slots = asyncio.Semaphore(_ENDS_AT_A_TIME)
        if opened:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLEANUP_TIMEOUT_S):
                    await asyncio.gather(*(self._end(*one, slots) for one in opened.items()), return_exceptions=True)

    async def _end(self, rollout_id: str, wire: Wire, slots: asyncio.Semaphore) -> None:
        async with slots:
            reply = await wire.post("end_rollout", {"rollout_id": rollout_id})
            if reply.status == 404:  # its start may still be on its way
                await asyncio.sleep(_ON_ITS_WAY_S)
                await wire.post("end_rollout", {"rollout_id": rollout_id})
