"""Running recorded calls again: how a rollout survives a restart, and how one is forked without help of its author.

It works where the environment is deterministic, and is checked: each answer must equal the recorded one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from envport_protocol.errors import RolloutLostError, WireError, error_from_body
from envport_protocol.hosting.before import Before, Rebuilt
from envport_protocol.hosting.stored_call import StoredCall
from envport_protocol.messages import ErrorBody, Outcome, StartRolloutRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from envport_protocol.hosting.journal import Journal, JournaledCall
    from envport_protocol.hosting.state import RolloutState

TOOL_CALL = "run_tool "
"""How the keys of tool calls begin; they alone change a rollout's state."""


def canonical(arguments: Any) -> bytes:
    """Equal for equal JSON values, whatever the order of keys."""
    # A copy: what orjson gives stays in an allocation of 4 KiB, and this is kept until the rollout ends.
    return b"%b" % orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS)


def digest(canonical_arguments: bytes) -> bytes:
    """The fingerprint of arguments."""
    return hashlib.blake2b(canonical_arguments, digest_size=16).digest()


class StartRecord(NamedTuple):
    """What it takes to start a rollout again."""

    fingerprint: bytes
    start: StartRolloutRequest

    def to_bytes(self) -> bytes:
        """As the journal keeps it."""
        return orjson.dumps({"fingerprint": self.fingerprint.hex(), "start": self.start.model_dump(mode="json")})

    @classmethod
    def from_bytes(cls, record: bytes) -> StartRecord:
        """The record that `to_bytes` wrote."""
        fields = orjson.loads(record)
        return cls(bytes.fromhex(fields["fingerprint"]), StartRolloutRequest.model_validate(fields["start"]))


async def replay(calls: Mapping[str, StoredCall], run: Callable[[bytes], Awaitable[bytes]]) -> None:
    """Runs the tool calls among `calls` again, in their order. `run` gets the recorded request of each.

    Raises:
        RolloutLostError: an answer was another than the recorded one, or a call was broken off, so that nobody knows
            what it did.
    """
    for key, call in calls.items():
        if not key.startswith(TOOL_CALL) or not call.request:
            continue
        recorded = call.outcome
        if isinstance(recorded, WireError) and recorded.outcome is not Outcome.ENV_ERROR:
            raise RolloutLostError(
                f"{key!r} was broken off ({recorded.outcome}), so the rollout cannot be rebuilt by running its calls "
                "again; start a new one"
            )
        if not _equal(await _outcome(run, call.request), recorded):
            raise RolloutLostError(
                f"{key!r} gave another answer when it was run again, so the environment is not deterministic, though "
                "it says so, or it is another version; start a new rollout"
            )


class Replay(Before["RolloutState"]):
    """The rollouts that a journal knows of, rebuilt by running their calls again.

    `begin` starts a rollout of a new state and gives its answer, `run` runs a tool call of one. An environment that is
    not deterministic has its rollouts remembered only so that they are known to be lost.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        is_deterministic: bool,
        new_state: Callable[[str], RolloutState],
        begin: Callable[[RolloutState, StartRolloutRequest], Awaitable[bytes]],
        run: Callable[[RolloutState, bytes], Awaitable[bytes]],
        let_go: Callable[[RolloutState], Awaitable[None]],
    ) -> None:
        self._journal = journal
        self._is_deterministic = is_deterministic
        self._new_state = new_state
        self._begin = begin
        self._run = run
        self._let_go = let_go

    def holds(self, rollout_id: str) -> bool:
        """Whether an earlier process held the rollout, and it was not asked for yet."""
        return self._journal.holds(rollout_id)

    def spent(self) -> list[str]:
        """The ids that ended last before the restart."""
        return self._journal.ended_ids

    async def rebuild(self, rollout_id: str) -> Rebuilt[RolloutState]:
        """The rollout as it was.

        Raises:
            RolloutLostError: it cannot be rebuilt; the journal has forgotten it then.
        """
        try:
            return await self._rebuilt(rollout_id)
        except WireError as error:
            self._journal.ended(rollout_id)
            if isinstance(error, RolloutLostError):
                raise
            raise RolloutLostError(
                f"the rollout {rollout_id!r} could not be rebuilt after a restart ({error.message}); start a new one"
            ) from error

    async def _rebuilt(self, rollout_id: str) -> Rebuilt[RolloutState]:
        if not self._is_deterministic:
            raise RolloutLostError(
                f"the server was restarted in the middle of the rollout {rollout_id!r}, and its environment is not "
                "deterministic, so it cannot be rebuilt; start a new one"
            )
        recovered = self._journal.read(rollout_id)
        if recovered is None:
            raise RolloutLostError(
                f"the rollout {rollout_id!r} was of another version of this environment, before a restart; start a "
                "new one"
            )
        try:
            record = StartRecord.from_bytes(recovered.start_request)
            calls = {call.key: _stored(call) for call in recovered.calls}
        except (KeyError, TypeError, ValueError) as error:
            raise RolloutLostError(
                f"the rollout {rollout_id!r} was journaled by another version of envport; start a new one"
            ) from error
        state = self._new_state(rollout_id)
        try:
            answer = await self._begin(state, record.start)
            if answer != recovered.start_answer:
                raise RolloutLostError(
                    f"the rollout {rollout_id!r} began otherwise when it was started again after a restart; start a "
                    "new one"
                )
            await replay(calls, lambda request: self._run(state, request))
        except BaseException:
            await self._let_go(state)
            raise
        return Rebuilt(state, StoredCall(record.fingerprint, outcome=answer), calls)

    def started(self, rollout_id: str, request: bytes, answer: bytes) -> None:
        """Records a start."""
        self._journal.started(rollout_id, request, answer, self._is_deterministic)

    def called(self, rollout_id: str, key: str, request: bytes, outcome: bytes | WireError) -> None:
        """Records a call; of one that cannot be replayed only that the rollout is in use."""
        if not self._is_deterministic:
            self._journal.called(rollout_id, key, b"", b"")
        elif isinstance(outcome, WireError):
            self._journal.called(rollout_id, key, request, outcome.to_body().model_dump_json().encode(), is_error=True)
        else:
            self._journal.called(rollout_id, key, request, outcome)

    def used(self, rollout_id: str) -> None:
        """Records that a rollout is not idle."""
        self._journal.used(rollout_id)

    def ended(self, rollout_id: str) -> None:
        """Records an end."""
        self._journal.ended(rollout_id)


def _stored(call: JournaledCall) -> StoredCall:
    outcome: bytes | WireError = call.answer
    if call.is_error:
        outcome = error_from_body(500, ErrorBody.model_validate_json(call.answer))
    if call.key.startswith(TOOL_CALL):
        return StoredCall(digest(call.request) if call.request else b"", call.request, outcome)
    return StoredCall(call.request, outcome=outcome)


async def _outcome(run: Callable[[bytes], Awaitable[bytes]], request: bytes) -> bytes | WireError:
    try:
        return await run(request)
    except WireError as error:
        return error


def _equal(again: bytes | WireError, recorded: bytes | WireError | None) -> bool:
    if isinstance(again, WireError) and isinstance(recorded, WireError):
        return (again.code, again.message) == (recorded.code, recorded.message)
    return again == recorded
