"""The journal: what was answered outlives the process, whatever is torn or damaged, and the disk does not fill up."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import pytest
from envport_protocol.errors import InfraError, ServeError
from envport_protocol.hosting import journal as journal_module
from envport_protocol.hosting.journal import Journal, JournaledCall, Recovered
from envport_protocol.hosting.journal_folder import journal_secret
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IDLE_S = 600.0
IDS = st.sampled_from(["r1", "r2", "r3", "r4"])
BODIES = st.binary(max_size=120)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def opened(
    folder: Path, clock: Callable[[], float] | None = None, version: str = "1", segment_bytes: int = 2**20
) -> Journal:
    return Journal.open(
        folder,
        {"name": "env", "version": version, "digest": None},
        idle_timeout_s=IDLE_S,
        segment_bytes=segment_bytes,
        clock=clock or Clock(),
    )


@contextmanager
def journal_of(folder: Path, **how: object) -> Iterator[Journal]:
    journal = opened(folder, **how)  # type: ignore[arg-type]
    try:
        yield journal
    finally:
        journal.close()


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("segment-*.log"))


def test_a_later_process_reads_what_was_asked_and_answered_in_its_order(tmp_path):
    with journal_of(tmp_path) as journal:
        journal.started("r1", b"start", b"started", keep_calls=True)
        journal.started("r2", b"other", b"start", keep_calls=True)
        journal.called("r1", "run_tool c2", b"two", b"deux")
        journal.called("r2", "run_tool c1", b"", b"")
        journal.called("r1", "run_tool c1", b"one", b"failed", is_error=True)
        assert not journal.holds("r1")  # it is this process's own
    with journal_of(tmp_path) as journal:
        assert journal.holds("r1")
        assert journal.read("r1") == Recovered(
            b"start",
            b"started",
            [
                JournaledCall("run_tool c2", b"two", b"deux", is_error=False),
                JournaledCall("run_tool c1", b"one", b"failed", is_error=True),
            ],
        )
        assert journal.read("r2") == Recovered(b"other", b"start", [JournaledCall("run_tool c1", b"", b"", False)])
        assert not journal.holds("r3")
        assert journal.read("r3") is None


def test_a_rollout_goes_on_over_several_restarts(tmp_path):
    expected = []
    for run in range(5):
        with journal_of(tmp_path) as journal:
            if run == 0:
                journal.started("r1", b"start", b"started", keep_calls=True)
            else:
                assert journal.read("r1") == Recovered(b"start", b"started", expected)
            expected.append(JournaledCall(f"c{run}", b"?", b"!", is_error=False))
            journal.called("r1", f"c{run}", b"?", b"!")


def test_an_ended_rollout_is_not_held_and_its_id_is_remembered(tmp_path):
    with journal_of(tmp_path) as journal:
        for rollout_id in ("r1", "r2", "r3"):
            journal.started(rollout_id, b"start", b"started", keep_calls=True)
        journal.ended("r2")
        journal.ended("r1")
        journal.called("r1", "late", b"", b"")
        journal.ended("never seen")
    with journal_of(tmp_path) as journal:
        assert [journal.holds(rollout_id) for rollout_id in ("r1", "r2", "r3")] == [False, False, True]
        assert journal.ended_ids == ["r2", "r1"]
        journal.started("r2", b"again", b"started", keep_calls=True)
        journal.ended("r3")
    with journal_of(tmp_path) as journal:
        assert journal.ended_ids == ["r1", "r3"]
        assert journal.read("r2") == Recovered(b"again", b"started", [])
        assert not journal.holds("r3")


def test_a_rollout_without_its_calls_is_held_but_cannot_be_read(tmp_path):
    clock = Clock()
    with journal_of(tmp_path, clock=clock) as journal:
        journal.started("r1", b"start", b"started", keep_calls=False)
        size = journal.size_bytes
        journal.called("r1", "c1", b"x" * 1000, b"y" * 1000)
        assert journal.size_bytes == size
        for call in range(8):  # a rollout in use is never idle, though its calls are not written
            clock.now += IDLE_S / 3
            journal.called("r1", f"c{call}", b"x" * 1000, b"y" * 1000)
        assert journal.size_bytes < size + 1000
    clock.now += IDLE_S / 2
    with journal_of(tmp_path, clock=clock) as journal:
        assert journal.holds("r1")
        assert journal.read("r1") is None
    assert b"start" not in b"".join(path.read_bytes() for path in segments(tmp_path))


def test_a_rollout_that_nobody_asks_for_after_a_restart_expires(tmp_path):
    clock = Clock()
    with journal_of(tmp_path, clock=clock) as journal:
        for rollout_id in ("asked for", "forgotten"):
            journal.started(rollout_id, b"start", b"started", keep_calls=True)
        clock.now += 100
        journal.called("asked for", "c1", b"", b"")
        journal.called("forgotten", "c1", b"", b"")
    clock.now += IDLE_S - 1
    with journal_of(tmp_path, clock=clock) as journal:
        assert journal.holds("forgotten")
        assert journal.read("asked for") is not None
        clock.now += 1
        assert not journal.holds("forgotten")
        assert journal.holds("asked for")
        journal.started("new", b"", b"", keep_calls=True)
        assert journal.read("forgotten") is None
        journal.called("asked for", "c2", b"", b"")
    clock.now += 1
    with journal_of(tmp_path, clock=clock) as journal:
        assert len(journal.read("asked for").calls) == 2
        assert not journal.holds("forgotten")
    clock.now += IDLE_S
    with journal_of(tmp_path, clock=clock) as journal:
        assert not journal.holds("asked for")
        assert len(segments(tmp_path)) == 1


def test_a_rollout_that_only_its_tools_were_asked_of_does_not_expire(tmp_path):
    clock = Clock()
    with journal_of(tmp_path, clock=clock) as journal:
        journal.started("r1", b"start", b"started", keep_calls=True)
        for _ in range(100):
            clock.now += 10
            journal.used("r1")
        assert journal.size_bytes < 1500
        with files_of_at_most(0):
            clock.now += IDLE_S / 2
            journal.used("r1")
        journal.used("never seen")
    with journal_of(tmp_path, clock=clock) as journal:
        assert journal.read("r1") == Recovered(b"start", b"started", [])


def test_rollouts_of_another_version_are_held_but_not_read(tmp_path):
    with journal_of(tmp_path) as journal:
        journal.started("r1", b"start", b"started", keep_calls=True)
    with journal_of(tmp_path, version="2") as journal:
        assert journal.holds("r1")
        assert journal.read("r1") is None
        journal.started("r2", b"start", b"started", keep_calls=True)
        assert len(segments(tmp_path)) == 1
    with journal_of(tmp_path, version="2") as journal:
        assert journal.holds("r1")
        assert journal.read("r1") is None
        assert journal.read("r2") == Recovered(b"start", b"started", [])


def test_a_journal_of_before_the_machine_booted_is_not_believed(tmp_path, monkeypatch):
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("first\n")
    monkeypatch.setattr(journal_module, "_BOOT_ID", boot_id)
    folder = tmp_path / "journal"
    with journal_of(folder) as journal:
        journal.started("r1", b"start", b"started", keep_calls=True)
    boot_id.write_text("second\n")
    with journal_of(folder) as journal:
        assert journal.holds("r1")
        assert journal.read("r1") is None


def test_one_process_at_a_time_has_a_journal(tmp_path, monkeypatch):
    monkeypatch.setattr("envport_protocol.hosting.journal_folder._LOCK_PATIENCE_S", 0.1)
    with journal_of(tmp_path), pytest.raises(ServeError, match=r"another server has the journal .* open; stop it"):
        opened(tmp_path)
    opened(tmp_path).close()


def test_a_server_that_ends_just_now_is_waited_for(tmp_path, monkeypatch):
    first = opened(tmp_path)
    monkeypatch.setattr("envport_protocol.hosting.journal_folder.time.sleep", lambda _: first.close())
    opened(tmp_path).close()


def test_a_folder_that_cannot_be_used_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ServeError, match=r"the journal .* cannot be used: .*file.*; expected a folder"):
        opened(tmp_path / "file")
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(ServeError, match=r"key has 5 bytes, not 32: delete it"):
        opened(tmp_path)


def test_the_key_stays_and_everything_is_private(tmp_path):
    folder = tmp_path / "a" / "journal"
    before = os.umask(0)
    try:
        with journal_of(folder) as journal:
            key = journal.secret
    finally:
        os.umask(before)
    assert len(key) == 32
    with journal_of(folder) as journal:
        assert journal.secret == key
    with journal_of(tmp_path / "other") as journal:
        assert journal.secret != key
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"key": 0o600, "lock": 0o600, "segment-00000002.log": 0o600}


def test_a_folder_that_was_made_for_it_is_shut_to_others(tmp_path):
    for folder in (tmp_path / "empty", tmp_path / "used"):
        folder.mkdir()
    with journal_of(tmp_path / "used"):
        pass
    for folder in (tmp_path / "empty", tmp_path / "used"):
        folder.chmod(0o755)
        with journal_of(folder):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o1777])
def test_a_folder_of_others_is_refused_and_stays_as_it_is(tmp_path, mode):
    shared = tmp_path / "shared"
    shared.mkdir()
    if mode != 0o1777:
        (shared / "lock").write_text("another's")
    shared.chmod(mode)
    before = sorted(path.name for path in shared.iterdir())
    for ask in (opened, journal_secret):
        with pytest.raises(ServeError, match=f"Give a folder of its own, such as {shared / 'journal'}, "):
            ask(shared)
    assert stat.S_IMODE(shared.stat().st_mode) == mode
    assert sorted(path.name for path in shared.iterdir()) == before


def test_a_private_folder_with_other_things_in_it_will_do(tmp_path):
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    (folder / "notes").write_text("mine")
    with journal_of(folder):
        assert (folder / "notes").read_text() == "mine"


def three_calls(folder: Path) -> Recovered:
    calls = [JournaledCall(f"run_tool c{n}", b"question %d" % n, b"answer %d" % n, n == 1) for n in range(3)]
    with journal_of(folder) as journal:
        journal.started("r1", b"start", b"started", keep_calls=True)
        for call in calls:
            journal.called("r1", *call)
    return Recovered(b"start", b"started", calls)


def test_a_last_record_that_was_torn_at_any_byte_is_cut_and_all_before_it_kept(tmp_path):
    whole = three_calls(tmp_path / "written")
    [segment] = segments(tmp_path / "written")
    data = segment.read_bytes()
    with journal_of(tmp_path / "shorter") as journal:
        journal.started("r1", b"start", b"started", keep_calls=True)
        for call in whole.calls[:2]:
            journal.called("r1", *call)
        begin = segments(tmp_path / "shorter")[0].stat().st_size
    assert begin < len(data)
    for length in range(begin, len(data) + 1):
        folder = tmp_path / f"torn-{length}"
        shutil.copytree(tmp_path / "written", folder)
        os.truncate(folder / segment.name, length)
        calls = whole.calls if length == len(data) else whole.calls[:2]
        with journal_of(folder) as journal:
            assert journal.read("r1") == whole._replace(calls=calls), length
            journal.called("r1", "next", b"", b"")
        with journal_of(folder) as journal:
            assert journal.read("r1").calls == [*calls, JournaledCall("next", b"", b"", False)], length


def test_a_rollout_that_lost_a_record_stays_lost_after_further_restarts(tmp_path):
    with journal_of(tmp_path) as journal:
        journal.started("r1", b"start", b"started", keep_calls=True)
        journal.started("r2", b"start", b"started", keep_calls=True)
    with journal_of(tmp_path) as journal:
        journal.read("r1")
        journal.called("r1", "c1", b"?", b"!")
    damaged = segments(tmp_path)[-1]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    for _ in range(3):
        with journal_of(tmp_path) as journal:
            assert journal.holds("r1")
            assert journal.read("r1") is None


def test_a_flipped_bit_at_any_byte_loses_rollouts_but_never_gives_a_wrong_answer(tmp_path, caplog):
    whole = three_calls(tmp_path / "written")
    [segment] = segments(tmp_path / "written")
    data = segment.read_bytes()
    with journal_of(tmp_path / "written") as journal:
        journal.started("later", b"start", b"started", keep_calls=True)
        journal.read("r1")
    for position in range(len(data)):
        folder = tmp_path / f"flipped-{position}"
        shutil.copytree(tmp_path / "written", folder)
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        (folder / segment.name).write_bytes(flipped)
        with journal_of(folder) as journal:
            assert journal.holds("r1"), position
            assert journal.read("r1") is None, position
            assert journal.read("later") == whole._replace(calls=[]), position
            journal.started("new", b"", b"", keep_calls=True)
        assert (folder / segment.name).with_suffix(".damaged").read_bytes() == flipped
        assert "is damaged from byte" in caplog.text
        caplog.clear()


@pytest.mark.parametrize("name", ["segment-00000001.log", "segment-1.log", "segment-x.log"])
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200))
def test_a_file_of_anything_never_stops_the_start(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with journal_of(tmp_path) as journal:
        journal.started("r1", b"start", b"started", keep_calls=True)
    with journal_of(tmp_path) as journal:
        assert journal.read("r1") == Recovered(b"start", b"started", [])
        journal.ended("r1")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A disk that is full: a longer write stops in the middle, the next one fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_cannot_be_written_is_an_error_and_leaves_all_else_as_it_was(tmp_path, caplog):
    with journal_of(tmp_path) as journal:
        journal.started("r1", b"start", b"started", keep_calls=True)
        journal.started("r2", b"start", b"started", keep_calls=True)
        journal.called("r1", "c1", b"?", b"!")
        with files_of_at_most(1000):
            for call in ("c2", "c3"):
                with pytest.raises(InfraError, match=r"could not be written: .*; make room on that disk"):
                    journal.called("r1", call, b"?", b"x" * 2000)
            with pytest.raises(InfraError):
                journal.started("r3", b"?", b"x" * 2000, keep_calls=True)
        with files_of_at_most(0):
            journal.ended("r2")
        assert "the end of the rollout 'r2' was not journaled" in caplog.text
        journal.called("r1", "c4", b"?", b"x" * 2000)
        assert journal.size_bytes == sum(path.stat().st_size for path in segments(tmp_path))
    with journal_of(tmp_path) as journal:
        assert [call.key for call in journal.read("r1").calls] == ["c1", "c4"]
        assert not journal.holds("r2")
        assert not journal.holds("r3")


def test_after_it_was_closed_nothing_is_written(tmp_path):
    with journal_of(tmp_path) as journal:
        journal.started("r1", b"start", b"started", keep_calls=True)
    with pytest.raises(InfraError, match="is closed: the server stops"):
        journal.called("r1", "c1", b"", b"")
    with journal_of(tmp_path) as journal:
        assert journal.read("r1").calls == []


def test_the_disk_is_given_back_as_rollouts_end(tmp_path):
    largest = 0
    with journal_of(tmp_path, segment_bytes=20_000) as journal:
        for rollout in range(2000):
            journal.started(f"r{rollout}", b"start", b"started", keep_calls=True)
            for call in range(4):
                journal.called(f"r{rollout}", f"c{call}", b"?" * 100, b"!" * 100)
            if rollout >= 10:
                journal.ended(f"r{rollout - 10}")
            largest = max(largest, journal.size_bytes)
        files = segments(tmp_path)
        assert journal.size_bytes == sum(path.stat().st_size for path in files)
    # Ten rollouts of 1.2 kB, and in each segment the ids that ended last: 4,096 at most.
    assert largest < 200_000
    assert len(files) <= 3


def test_rollouts_that_live_long_do_not_keep_what_is_around_them(tmp_path):
    expected = []
    with journal_of(tmp_path, segment_bytes=20_000) as journal:
        journal.started("long", b"start", b"started", keep_calls=True)
        for rollout in range(3000):
            journal.started(f"r{rollout}", b"start", b"started", keep_calls=True)
            journal.called(f"r{rollout}", "c1", b"?" * 400, b"!" * 400)
            journal.ended(f"r{rollout}")
            if rollout % 50 == 0:
                expected.append(JournaledCall(f"c{rollout}", b"?", b"!" * 50, is_error=False))
                journal.called("long", *expected[-1])
        assert journal.size_bytes < 10 * 20_000 + 4 * 4096 * 10  # 2.6 MB were written
    for _ in range(2):
        with journal_of(tmp_path, segment_bytes=20_000) as journal:
            assert journal.read("long") == Recovered(b"start", b"started", expected)


def test_an_end_in_a_segment_that_is_gone_still_counts(tmp_path):
    with journal_of(tmp_path, segment_bytes=500) as journal:
        journal.started("stays", b"start", b"started", keep_calls=True)
        journal.started("ends", b"start", b"started", keep_calls=True)
        journal.started("filler", b"x" * 500, b"", keep_calls=True)
        journal.ended("ends")
        second = segments(tmp_path)[-1]
        journal.started("more", b"x" * 500, b"", keep_calls=True)
        journal.ended("more")
        journal.started("last", b"x" * 500, b"", keep_calls=True)
        assert not second.exists()
    with journal_of(tmp_path) as journal:
        assert journal.holds("stays")
        assert not journal.holds("ends")


WRITER = """
import sys
from pathlib import Path
from envport_protocol.hosting.journal import Journal

journal = Journal.open(Path(sys.argv[1]), {"name": "env", "version": "1", "digest": None}, idle_timeout_s=600,
                       segment_bytes=200_000)
journal.started("r1", b"start", b"started", True)
for call in range(10**9):
    journal.called("r1", str(call), b"?", str(call).encode() * 2000)
    print(call, flush=True)
"""


@pytest.mark.parametrize("answers", [1, 10, 100, 500])
def test_nothing_that_was_answered_is_lost_when_the_writer_is_killed(tmp_path, answers):
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(answers):
            writer.stdout.readline()
        writer.kill()
        rest = writer.stdout.read()
    told = answers + rest.count(b"\n")
    with journal_of(tmp_path, clock=time.time) as journal:
        assert journal.holds("r1")
        calls = journal.read("r1").calls
    assert told <= len(calls) <= told + 1  # one may have been written and not yet told
    assert calls == [JournaledCall(str(n), b"?", str(n).encode() * 2000, False) for n in range(len(calls))]


class JournalMachine(RuleBasedStateMachine):
    """Any order of operations and restarts, beside a plain model of what must be known."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp())
        self.clock = Clock()
        self.journal = opened(self.folder, self.clock, segment_bytes=700)
        self.open: dict[str, Recovered | None] = {}
        self.used_at: dict[str, float] = {}
        self.unread: set[str] = set()

    def teardown(self) -> None:
        self.journal.close()
        shutil.rmtree(self.folder)

    @rule(rollout_id=IDS, body=BODIES, keep_calls=st.booleans())
    def start(self, rollout_id: str, body: bytes, keep_calls: bool) -> None:
        self.journal.started(rollout_id, body, body[::-1], keep_calls)
        self.open[rollout_id] = Recovered(body, body[::-1], []) if keep_calls else None
        self.used_at[rollout_id] = self.clock.now
        self.unread.discard(rollout_id)

    @rule(rollout_id=IDS, key=st.text(max_size=5), body=BODIES, is_error=st.booleans())
    def call(self, rollout_id: str, key: str, body: bytes, is_error: bool) -> None:
        if rollout_id in self.unread:
            return
        self.journal.called(rollout_id, key, body, body[::-1], is_error)
        rollout = self.open.get(rollout_id)
        if rollout is None:
            self._used(rollout_id)
        else:
            rollout.calls.append(JournaledCall(key, body, body[::-1], is_error))
            self.used_at[rollout_id] = self.clock.now

    @rule(rollout_id=IDS)
    def use(self, rollout_id: str) -> None:
        if rollout_id not in self.unread:
            self.journal.used(rollout_id)
            self._used(rollout_id)

    @rule(rollout_id=IDS)
    def end(self, rollout_id: str) -> None:
        self.journal.ended(rollout_id)
        if self.open.pop(rollout_id, None) is not None:
            assert self.journal.ended_ids[-1] == rollout_id
        self.unread.discard(rollout_id)

    @rule(seconds=st.floats(0, IDLE_S / 2))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(torn=st.binary(max_size=11))
    def restart(self, torn: bytes) -> None:
        ended = self.journal.ended_ids
        self.journal.close()
        with segments(self.folder)[-1].open("ab") as last:
            last.write(torn)
        self.journal = opened(self.folder, self.clock, segment_bytes=700)
        assert self.journal.ended_ids == ended
        self.unread = set(self.open)
        self._forget_expired()

    @rule(rollout_id=IDS)
    def ask(self, rollout_id: str) -> None:
        self._forget_expired()
        if rollout_id in self.unread:
            assert self.journal.holds(rollout_id)
            assert self.journal.read(rollout_id) == self.open[rollout_id]
            self.unread.discard(rollout_id)
            if self.open[rollout_id] is None:
                self.journal.ended(rollout_id)
                del self.open[rollout_id]

    @invariant()
    def only_what_is_left_open_is_held(self) -> None:
        self._forget_expired()
        assert all(self.journal.holds(rollout_id) for rollout_id in self.unread)
        assert not any(self.journal.holds(rollout_id) for rollout_id in {"r1", "r2", "r3", "r4"} - self.open.keys())

    @invariant()
    def the_disk_holds_little_more_than_is_needed(self) -> None:
        assert self.journal.size_bytes == sum(path.stat().st_size for path in segments(self.folder))
        needed = sum(
            len(rollout.start_request) * 2 + 100 + sum(len(call.request) * 2 + 100 for call in rollout.calls)
            for rollout in self.open.values()
            if rollout is not None
        )
        assert self.journal.size_bytes < 2 * needed + 6 * (700 + 600)

    def _used(self, rollout_id: str) -> None:
        if rollout_id in self.open and self.clock.now - self.used_at[rollout_id] >= IDLE_S / 4:
            self.used_at[rollout_id] = self.clock.now

    def _forget_expired(self) -> None:
        expired = {one for one in self.unread if self.used_at[one] + IDLE_S <= self.clock.now}
        self.unread -= expired
        for rollout_id in expired:
            del self.open[rollout_id]


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
