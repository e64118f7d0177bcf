"""Rollouts and their calls, each call run exactly once. Knows nothing of HTTP.

Ids are made by the client. A call's work runs in a task of its own, so a connection that breaks does not stop it; the
same call again joins it while it runs, and gets the stored outcome, error or not, once it is done. The deadline is
kept here: at that moment the outcome is CallTimeoutError and the work is cancelled, whether or not it listens. A call
that nobody waits for any more is cancelled after a while. An ended rollout frees its state and its answers; its id
stays spent, as one of a bounded number of tombstones.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from envport_protocol.errors import (
    CallCancelledError,
    IdConflictError,
    InvalidRequestError,
    NotReadyError,
    OverloadedError,
    RolloutLostError,
    WireError,
)
from envport_protocol.hosting.before import Before, Rebuilt
from envport_protocol.hosting.line import Line
from envport_protocol.hosting.observer import NullObserver
from envport_protocol.hosting.rollout import Held, Job, Rollout, StoreLimits
from envport_protocol.hosting.stored_call import StoppedError, StoredCall, launch, outcome_kind, outcome_of, too_late
from envport_protocol.hosting.tombstones import Tombstone, Tombstones, ended, started_otherwise
from envport_protocol.messages import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from envport_protocol.hosting.line import Elsewhere
    from envport_protocol.hosting.observer import Observer

log = logging.getLogger("envport.protocol")

S = TypeVar("S")
T = TypeVar("T")

_STOP_TIMEOUT_S = 5.0
"""How long an end waits for the calls that it stopped."""
_REBUILD_CALLS = 5
"""A rebuild may take as long as so many ends."""
_DEFAULT_LIMITS = StoreLimits()
_ANY_ARGUMENTS = b""
"""The fingerprint of a call that was cancelled before it came."""


class RolloutStore(Generic[S]):
    """All rollouts of one server. `free` is called with the state of each that ended, expired or failed to start.

    `elsewhere` holds rollouts too, and `limits.max_rollouts` is how many both may hold together.
    """

    def __init__(
        self,
        free: Callable[[S], Coroutine[object, object, None]],
        limits: StoreLimits = _DEFAULT_LIMITS,
        clock: Callable[[], float] = time.monotonic,
        *,
        before: Before[S] | None = None,
        observer: Observer | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._free = free
        self._limits = limits
        self._clock = clock
        self._before = before or Before[S]()
        self._observer = observer or NullObserver()
        self._live: dict[str, Rollout[S]] = {}
        self._ended = Tombstones(limits.max_tombstones, self._before.spent())
        self._line = Line(limits.max_rollouts, limits.max_queued, limits.queue_timeout_s, self._taken, elsewhere)
        self._tasks: set[asyncio.Task[object]] = set()
        self._freeing: dict[str, asyncio.Task[None]] = {}
        """The freeing of starts that failed, by rollout id."""
        self._rebuilding: dict[str, asyncio.Task[None]] = {}
        self._places_of_rebuilt = 0
        """Taken by rollouts that are being rebuilt."""
        self._is_closing = False
        self.running = 0
        """Calls that run now, over all rollouts."""

    def __len__(self) -> int:
        """How many rollouts are held now."""
        return len(self._live)

    @property
    def queued(self) -> int:
        """How many starts wait for room."""
        return len(self._line)

    def held(self) -> list[Held[S]]:
        """All rollouts that are held now, oldest first."""
        now = self._clock()
        return [
            Held(rollout_id, one.state, now - one.begun_at, now - one.used_at, len(one.calls), one.running)
            for rollout_id, one in self._live.items()
        ]

    async def start(
        self,
        rollout_id: str,
        fingerprint: bytes,
        new_state: Callable[[], S],
        work: Callable[[S], Coroutine[object, object, bytes]],
        timeout_s: float,
        *,
        record: Callable[[S], bytes] = lambda _: b"",
        verb: str = "start_rollout",
    ) -> bytes:
        """The answer of `work`, run once for this id.

        A start that the client got wrong (a 4xx) leaves the id unspent; any other failure is kept and answered again.
        `record` is asked, once the start worked, what it takes to do it again.

        Raises:
            IdConflictError: the id was used with another fingerprint.
            RolloutEndedError: the id is spent.
            OverloadedError: no room.
            WireError: what `work` raised, or CallTimeoutError.
        """
        rollout = None
        while rollout is None:
            await self._settled_before(rollout_id)
            rollout = self._live.get(rollout_id)
            if rollout is None:
                self._check_new(rollout_id, fingerprint)
                await self._line.wait()
                rollout = self._live.get(rollout_id)  # the same start may have waited before this one
                if rollout is None and self._is_free(rollout_id):
                    job = Job("", fingerprint, work, timeout_s, verb=verb)
                    rollout = self._begin(rollout_id, new_state(), job, record)
                else:
                    self._line.freed()
        if rollout.start.fingerprint != fingerprint:
            raise started_otherwise(rollout_id)
        return await rollout.start.answer()

    async def run(self, rollout_id: str, job: Job[S], others: Sequence[str] = ()) -> bytes:
        """The answer of the job's work, run once for this rollout and the job's key.

        The key is spent in the rollouts named by `others` too.

        Raises:
            UnknownRolloutError, RolloutEndedError, RolloutLostError: no such rollout, or not any more.
            IdConflictError: the key was used with another fingerprint.
            InvalidRequestError: more calls than one rollout may make.
            OverloadedError: more calls run than may.
            WireError: what the work raised, CallTimeoutError, or CallCancelledError.
        """
        rollout = await self._started(rollout_id)
        call = rollout.calls.get(job.key)
        sharing: list[Rollout[S]] = []
        if call is None and others:
            sharing = [await self._started(other) for other in others]
            rollout = self._find(rollout_id)
            call = rollout.calls.get(job.key)  # the same call may have come meanwhile
        if call is None:
            if job.tool is not None:
                self._check_room(rollout_id, rollout)
            self._check_load()
            if any(job.key in one.calls for one in sharing):
                raise _called_otherwise(rollout_id, job.key)
            call = self._launch(rollout_id, rollout, job, sharing)
        elif call.fingerprint != job.fingerprint and call.fingerprint != _ANY_ARGUMENTS:
            raise _called_otherwise(rollout_id, job.key)
        return await call.answer()

    async def cancel(self, rollout_id: str, key: str) -> bool:
        """Stops a call, or the one that will come with this key; False where it had finished otherwise.

        Raises:
            UnknownRolloutError, RolloutEndedError, RolloutLostError: no such rollout, or not any more.
        """
        rollout = await self._started(rollout_id)
        call = rollout.calls.get(key)
        error = CallCancelledError(f"{key!r} of rollout {rollout_id!r} was cancelled; a new call needs a new id")
        if call is None:
            self._check_room(rollout_id, rollout)
            self._before.called(rollout_id, key, b"", error)
            call = rollout.calls[key] = StoredCall(_ANY_ARGUMENTS, outcome=error)
            rollout.keep(call)
        elif call.outcome is None:
            call.stop(error)
        return isinstance(call.outcome, CallCancelledError)

    async def state(self, rollout_id: str) -> S:
        """The state of a rollout that is held, once its start is over.

        Raises:
            UnknownRolloutError, RolloutEndedError, RolloutLostError: no such rollout, or not any more.
            WireError: its start failed.
        """
        rollout = await self._started(rollout_id)
        self._before.used(rollout_id)
        return rollout.state

    async def finished(self, rollout_id: str, prefix: str) -> dict[str, StoredCall]:
        """The calls whose keys begin with `prefix`, in the order they ended, once all that run now are over.

        Raises:
            UnknownRolloutError, RolloutEndedError, RolloutLostError: no such rollout, or not any more.
        """
        rollout = await self._started(rollout_id)
        running = [call for key, call in rollout.calls.items() if call.outcome is None and key.startswith(prefix)]
        await asyncio.gather(*(call.answer() for call in running), return_exceptions=True)
        self._find(rollout_id)
        return {key: call for key, call in rollout.calls.items() if key.startswith(prefix) and call.outcome is not None}

    def adopt(self, rollout_id: str, calls: Mapping[str, StoredCall]) -> None:
        """Gives a rollout that is being started the finished calls of another.

        Raises:
            UnknownRolloutError, RolloutEndedError: no such rollout, or not any more.
        """
        rollout = self._find(rollout_id)
        for key, call in calls.items():
            rollout.calls[key] = StoredCall(call.fingerprint, call.request, call.outcome)
            rollout.keep(call)

    async def end(self, rollout_id: str, reason: str = "ended") -> None:
        """Stops the calls of a rollout and frees it. Again: the same outcome.

        Raises:
            UnknownRolloutError, RolloutLostError: it was never started here, or a restart lost it.
            WireError: what the author's code for it raised; the rollout is freed all the same.
        """
        await self._settled_before(rollout_id)
        gone = self._ended.get(rollout_id)
        if gone is None:
            rollout = self._live.get(rollout_id)
            if rollout is None:
                raise self._ended.absent(rollout_id)
            error = await asyncio.shield(self._begin_end(rollout_id, rollout, reason))
        else:
            error = gone.end_error or gone.lost
        if error is not None:
            raise error.afresh()

    async def expire_idle(self) -> int:
        """Ends the rollouts that nothing was asked of for the idle timeout; how many these were."""
        latest = self._clock() - self._limits.idle_timeout_s
        ends = [
            self._begin_end(rollout_id, rollout, "idle for too long")
            for rollout_id, rollout in self._live.items()
            if rollout.running == 0 and rollout.end is None and rollout.used_at <= latest
        ]
        await asyncio.gather(*map(asyncio.shield, ends))
        if ends:
            self._observer.expired(len(ends))
        return len(ends)

    async def close(self) -> None:
        """Ends every rollout, waits until those whose start failed are freed, and begins no more."""
        self._is_closing = True
        await asyncio.gather(
            *(self.end(rollout_id, "closed") for rollout_id in list(self._live)),
            *self._freeing.values(),
            return_exceptions=True,
        )

    def _find(self, rollout_id: str) -> Rollout[S]:
        rollout = self._live.get(rollout_id)
        if rollout is None:
            raise self._ended.absent(rollout_id)
        if rollout.end is not None:
            raise ended(rollout_id, rollout.end_reason)
        return rollout

    async def _started(self, rollout_id: str) -> Rollout[S]:
        if rollout_id not in self._live:
            await self._settled_before(rollout_id)
        rollout = self._find(rollout_id)
        if rollout.start.outcome is None:
            await rollout.start.answer()
            rollout = self._find(rollout_id)
        rollout.used_at = self._clock()
        return rollout

    def _taken(self) -> int:
        return len(self._live) + self._places_of_rebuilt

    def _is_free(self, rollout_id: str) -> bool:
        return rollout_id not in self._ended and rollout_id not in self._freeing and not self._is_closing

    def _check_new(self, rollout_id: str, fingerprint: bytes) -> None:
        self._ended.check_unspent(rollout_id, fingerprint)
        if self._is_closing:
            raise NotReadyError("the server stops, and begins nothing more; try again when it runs again")

    def _check_room(self, rollout_id: str, rollout: Rollout[S]) -> None:
        limits = self._limits
        if len(rollout.calls) >= limits.max_calls or rollout.kept_bytes >= limits.max_bytes:
            raise InvalidRequestError(
                f"the rollout {rollout_id!r} made {len(rollout.calls)} calls that take {rollout.kept_bytes} bytes; the "
                f"most are {limits.max_calls} and {limits.max_bytes}. It can still be scored; then end it"
            )

    def _check_load(self) -> None:
        # Work that does not heed its cancellation runs on uncounted, so that is bounded too.
        most = self._limits.max_running_calls
        if self.running >= most or len(self._tasks) >= 2 * most:
            raise OverloadedError(
                f"this worker runs {self.running} calls ({len(self._tasks)} with those that do not stop), the most it "
                "may; try again later",
                details={"running": self.running, "max_running_calls": most},
            )

    def _begin(self, rollout_id: str, state: S, job: Job[S], record: Callable[[S], bytes]) -> Rollout[S]:
        now = self._clock()
        start = StoredCall(job.fingerprint)
        rollout = self._live[rollout_id] = Rollout(state, now, now, start)
        self._line.taken()

        def settled(outcome: bytes | WireError, seconds: float) -> bytes | WireError:
            self._told(rollout, job, outcome, seconds)
            if not isinstance(outcome, WireError):
                outcome = self._journal_start(rollout_id, rollout, record(state), outcome)
            if isinstance(outcome, WireError) and rollout.end is None:
                self._start_failed(rollout_id, rollout, outcome)
            return outcome

        self._run(start, job, rollout, settled)
        return rollout

    def _launch(
        self, rollout_id: str, rollout: Rollout[S], job: Job[S], sharing: Sequence[Rollout[S]] = ()
    ) -> StoredCall:
        call = StoredCall(job.fingerprint, job.request)

        def settled(outcome: bytes | WireError, seconds: float) -> bytes | WireError:
            for one in sharing:
                one.running -= 1
                one.used_at = self._clock()
            self._told(rollout, job, outcome, seconds)
            if rollout.end is None and not isinstance(outcome, StoppedError):
                rollout.calls[job.key] = rollout.calls.pop(job.key)  # so the calls stand in the order they ended
                rollout.kept_bytes += len(outcome) if isinstance(outcome, bytes) else 0
                try:
                    self._before.called(rollout_id, job.key, job.request, outcome)
                except WireError as error:
                    # What is journaled is not what it went through, so nobody may go on with it.
                    self._begin_end(rollout_id, rollout, "could not be journaled any more")
                    return error.afresh()
            return outcome

        rollout.calls[job.key] = call
        rollout.keep(call)
        for one in sharing:
            one.running += 1
            one.calls[job.key] = call
        self._run(call, job, rollout, settled)
        return call

    def _run(
        self,
        call: StoredCall,
        job: Job[S],
        rollout: Rollout[S],
        settled: Callable[[bytes | WireError, float], bytes | WireError],
    ) -> None:
        rollout.running += 1
        self.running += 1
        rollout.used_at = self._clock()
        task = launch(
            call,
            partial(job.work, rollout.state),
            what=job.verb if not job.key else f"call {job.key!r}",
            timeout_s=job.timeout_s,
            grace_s=self._limits.orphan_grace_s,
            on_settled=settled,
        )
        self._keep(task)

    def _told(self, rollout: Rollout[S], job: Job[S], outcome: bytes | WireError, seconds: float) -> None:
        # Not when the task ends: one that does not heed its cancellation would keep the rollout for ever.
        rollout.running -= 1
        self.running -= 1
        rollout.used_at = self._clock()
        if not isinstance(outcome, WireError) or outcome.status >= 500 or outcome.outcome is not Outcome.INFRA_ERROR:
            # Not what was refused since it was asked wrongly, such as a start of a task that there is not.
            self._observer.executed(job.verb, job.tool, outcome_kind(outcome), seconds)

    def _journal_start(self, rollout_id: str, rollout: Rollout[S], request: bytes, answer: bytes) -> bytes | WireError:
        try:
            self._before.started(rollout_id, request, answer)
            for key, call in rollout.calls.items():  # a fork has some from the beginning
                if call.outcome is not None:
                    self._before.called(rollout_id, key, call.request, call.outcome)
        except WireError as error:
            self._before.ended(rollout_id)  # half of what it is was written
            return error.afresh()
        return answer

    def _start_failed(self, rollout_id: str, rollout: Rollout[S], error: WireError) -> None:
        del self._live[rollout_id]
        if error.status >= 500 or isinstance(error, CallCancelledError):
            self._ended.bury(rollout_id, Tombstone("could not be started", rollout.start.fingerprint, error))
        task = rollout.start.run.task if rollout.start.run is not None else None
        stopping = [] if task is None or task is asyncio.current_task() else [task]
        freeing = asyncio.create_task(self._free_failed(rollout_id, rollout.state, stopping))
        self._freeing[rollout_id] = freeing
        self._line.freed()

    async def _free_failed(self, rollout_id: str, state: S, stopping: list[asyncio.Task[None]]) -> None:
        try:
            error = await self._let_go(state, stopping)
            if error is not None:
                log.error("the rollout %r, which could not be started, was not freed: %s", rollout_id, error)
        finally:
            if self._freeing.get(rollout_id) is asyncio.current_task():
                del self._freeing[rollout_id]

    async def _settled_before(self, rollout_id: str) -> None:
        """Waits until what a failed start or an earlier process left of this id is dealt with."""
        freeing = self._freeing.get(rollout_id)
        if freeing is not None:
            await asyncio.wait([freeing], timeout=_STOP_TIMEOUT_S + self._limits.end_timeout_s)
        if rollout_id not in self._live and rollout_id not in self._ended and self._before.holds(rollout_id):
            rebuilding = self._rebuilding.get(rollout_id)
            if rebuilding is None:
                rebuilding = self._rebuilding[rollout_id] = asyncio.create_task(self._rebuild(rollout_id))
            await asyncio.wait([rebuilding], timeout=self._limits.end_timeout_s)
            if not rebuilding.done():
                raise NotReadyError(
                    f"the rollout {rollout_id!r} is being rebuilt after a restart; try again in a moment"
                )
            rebuilding.result()

    async def _rebuild(self, rollout_id: str) -> None:
        try:
            await self._line.wait()
            self._places_of_rebuilt += 1
            self._line.taken()
            try:
                rebuilt = await self._rebuilt_in_time(rollout_id)
            finally:
                self._places_of_rebuilt -= 1
            if isinstance(rebuilt, WireError):
                log.warning("the rollout %r of before the restart is lost: %s", rollout_id, rebuilt)
                self._ended.bury(rollout_id, Tombstone("was lost", lost=rebuilt.afresh()))
                self._line.freed()
            else:
                now = self._clock()
                self._live[rollout_id] = Rollout(rebuilt.state, now, now, rebuilt.start)
                self.adopt(rollout_id, rebuilt.calls)
            self._observer.replayed(is_rebuilt=not isinstance(rebuilt, WireError))
        finally:
            del self._rebuilding[rollout_id]

    async def _rebuilt_in_time(self, rollout_id: str) -> Rebuilt[S] | WireError:
        timeout_s = _REBUILD_CALLS * self._limits.end_timeout_s
        work = asyncio.create_task(self._before.rebuild(rollout_id))
        self._keep(work)
        await asyncio.wait([work], timeout=timeout_s)
        if not work.done():
            work.cancel()
            self._before.ended(rollout_id)
            return RolloutLostError(
                f"the rollout {rollout_id!r} could not be rebuilt within {timeout_s:g} s after a restart; start another"
            )
        rebuilt = outcome_of(work, "the rebuild")
        if isinstance(rebuilt, WireError) and not isinstance(rebuilt, RolloutLostError):
            self._before.ended(rollout_id)
            return RolloutLostError(f"the rollout {rollout_id!r} is lost by a restart: {rebuilt.message}")
        return rebuilt

    def _begin_end(self, rollout_id: str, rollout: Rollout[S], reason: str) -> asyncio.Future[WireError | None]:
        if rollout.end is None:
            rollout.end = asyncio.get_running_loop().create_future()
            rollout.end_reason = reason
            self._keep(asyncio.create_task(self._end(rollout_id, rollout, rollout.end, reason)))
        return rollout.end

    async def _end(
        self, rollout_id: str, rollout: Rollout[S], over: asyncio.Future[WireError | None], reason: str
    ) -> None:
        stopped: list[asyncio.Task[None]] = []
        for call in (rollout.start, *rollout.calls.values()):
            run = call.run
            if run is not None:
                call.stop(ended(rollout_id, reason))
                if run.task is not None:
                    stopped.append(run.task)
        error = await self._let_go(rollout.state, stopped)
        if reason != "closed":  # a server that stops may come back
            try:
                self._before.ended(rollout_id)
            except WireError as unwritten:
                log.error("the end of the rollout %r is not in the journal: %s", rollout_id, unwritten)
        del self._live[rollout_id]
        self._ended.bury(rollout_id, Tombstone(reason, end_error=error))
        self._line.freed()
        over.set_result(error)

    async def _let_go(self, state: S, stopping: list[asyncio.Task[None]]) -> WireError | None:
        """Frees a state after the calls that were stopped for it; the error where that failed or took too long."""
        if stopping:
            await asyncio.wait(stopping, timeout=_STOP_TIMEOUT_S)
        freeing = asyncio.create_task(self._free(state))
        self._keep(freeing)
        await asyncio.wait([freeing], timeout=self._limits.end_timeout_s)
        if freeing.done():
            outcome = outcome_of(freeing, "end_rollout")
        else:
            freeing.cancel()
            outcome = too_late("end_rollout", self._limits.end_timeout_s)
        return outcome if isinstance(outcome, WireError) else None

    def _keep(self, task: asyncio.Task[T]) -> None:
        # The event loop itself holds tasks weakly.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _called_otherwise(rollout_id: str, key: str) -> IdConflictError:
    return IdConflictError(
        f"{key!r} of rollout {rollout_id!r} was used with other arguments; a new call needs a new id"
    )
