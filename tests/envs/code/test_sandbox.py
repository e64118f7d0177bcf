"""Programs in the sandbox: how they end, what they are given, and what they leave behind."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import psutil
import pytest
from envport_sandbox import Ending, InfrastructureError, Limits, Quota, QuotaError, Sandbox
from envport_sandbox.inside.wire import WireError
from envport_sandbox.isolation import ZygoteIsolation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SHORT = Limits(cpu_s=1, wall_s=20)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(slots=4, quota=Quota(total_mb=1, files=20)) as started:
        yield started


def zygote_of(sandbox: Sandbox) -> psutil.Process:
    isolation = sandbox._isolation
    assert isinstance(isolation, ZygoteIsolation)
    return psutil.Process(isolation.zygote_pid)


async def test_a_program_prints(sandbox: Sandbox):
    result = await sandbox.run("print(6 * 7)")
    assert (result.ending, result.exit_status, result.stdout, result.stderr, result.files) == (
        Ending.OK,
        0,
        b"42\n",
        b"",
        {},
    )
    assert 0 < result.cpu_s < 1
    assert 1000 < result.memory_kb < 100_000


@pytest.mark.parametrize(
    ("source", "ending", "status"),
    [
        ("import sys; sys.exit()", Ending.OK, 0),
        ("exit()", Ending.OK, 0),
        ("import sys; sys.exit(3)", Ending.ERROR, 3),
        ("import sys; sys.exit('text')", Ending.ERROR, 1),
        ("1 / 0", Ending.ERROR, 1),
        ("def f(: pass", Ending.ERROR, 1),
        ("import os; os._exit(125)", Ending.ERROR, 125),
        ("import os; os.kill(os.getpid(), 15)", Ending.ERROR, -15),
        ("import os; os.kill(os.getpid(), 9)", Ending.ERROR, 1),
        ("import signal, threading; signal.pthread_kill(threading.get_ident(), 9)", Ending.ERROR, 1),
        ("import os; os.abort()", Ending.ERROR, -6),
        ("raise MemoryError", Ending.MEMORY, 121),
        ("x = 'a' * 10**10", Ending.MEMORY, 121),
        ("while True: pass", Ending.TIMEOUT, -24),
        ("while True: print('x' * 1000)", Ending.OUTPUT_LIMIT, -9),
        ("import sys\nwhile True: sys.stderr.write('x' * 1000)", Ending.OUTPUT_LIMIT, -9),
        ("raise BaseException('odd')", Ending.ERROR, 1),
        ("raise KeyboardInterrupt", Ending.ERROR, 1),
    ],
)
async def test_each_end_has_its_name(sandbox: Sandbox, source: str, ending: Ending, status: int):
    result = await sandbox.run(source, limits=SHORT)
    assert (result.ending, result.exit_status) == (ending, status), result


async def test_a_sleeper_is_killed_at_the_deadline(sandbox: Sandbox):
    result = await sandbox.run("import time; time.sleep(1000)", limits=Limits(wall_s=0.3))
    assert (result.ending, result.exit_status) == (Ending.TIMEOUT, -9)


async def test_a_program_that_ignores_the_cpu_signal_is_killed(sandbox: Sandbox):
    source = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    result = await sandbox.run(source, limits=SHORT)
    assert (result.ending, result.exit_status) == (Ending.TIMEOUT, -9)


async def test_what_was_printed_before_the_limit_is_kept(sandbox: Sandbox):
    result = await sandbox.run("print('x' * 3000)", limits=Limits(output_kb=2))
    assert (result.ending, result.stdout) == (Ending.OUTPUT_LIMIT, b"x" * 2048)


async def test_a_traceback_shows_the_programs_lines_alone(sandbox: Sandbox):
    result = await sandbox.run("def f():\n    return 1 / 0\nf()\n")
    assert result.stderr.decode().splitlines() == [
        "Traceback (most recent call last):",
        '  File "program.py", line 3, in <module>',
        "    f()",
        '  File "program.py", line 2, in f',
        "    return 1 / 0",
        "           ~~^~~",
        "ZeroDivisionError: division by zero",
    ]


async def test_stdin_arrives_whole(sandbox: Sandbox):
    text = "äöü\n" + "x" * 2_000_000
    result = await sandbox.run("import sys; text = sys.stdin.read(); print(len(text), text[:3])", stdin=text)
    assert result.stdout.decode() == "2000004 äöü\n"


async def test_stdin_that_nobody_reads_is_no_fault(sandbox: Sandbox):
    result = await sandbox.run("print(1)", stdin="x" * 1_000_000)
    assert (result.ending, result.stdout) == (Ending.OK, b"1\n")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"\xff\xfe", b"SyntaxError"),
        ("\0", b"source code string cannot contain null bytes"),  # a SyntaxError from Python 3.11.4 on
        ("\udcff", b"SyntaxError"),
        (b"# -*- coding: latin-1 -*-\nprint(len('\xe4'))", b""),
    ],
)
async def test_odd_bytes_are_told_as_python_tells_them(sandbox: Sandbox, source: str | bytes, said: bytes):
    result = await sandbox.run(source)
    assert said in result.stderr
    assert (result.ending is Ending.OK) == (said == b"")


async def test_too_much_source_or_stdin_is_refused(sandbox: Sandbox):
    with pytest.raises(ValueError, match="source has 10,000,000 bytes; at most 1,048,576 are taken"):
        await sandbox.run("#" * 10_000_000)
    with pytest.raises(ValueError, match="stdin has 17,000,000 bytes; at most 16,777,216 are taken"):
        await sandbox.run("", stdin="#" * 17_000_000)


@pytest.mark.parametrize("name", ["wall_s", "cpu_s", "memory_mb", "output_kb"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "5", 2**31])
def test_limits_out_of_range_are_refused(name: str, value: object):
    with pytest.raises(ValueError, match=f"{name} is .*; expected"):
        Limits(**{name: value})


async def test_the_folder_is_filled_and_read_back(sandbox: Sandbox):
    source = (
        "import os\nprint(open('a/b.txt').read(), os.getcwd() == os.environ['TMPDIR'])\n"
        "os.remove('old')\nopen('new', 'w').write('!')"
    )
    result = await sandbox.run(source, files={"a/b.txt": b"here", "old": b""})
    assert result.stdout == b"here True\n"
    assert result.files == {"a/b.txt": b"here", "new": b"!"}


async def test_a_module_in_the_folder_can_be_imported(sandbox: Sandbox):
    result = await sandbox.run("import mine; print(mine.x)", files={"mine.py": b"x = 5"})
    assert result.stdout == b"5\n"


async def test_nothing_of_a_run_is_seen_by_the_next(sandbox: Sandbox):
    dirty = (
        "import builtins, os\nbuiltins.mark = 1\nos.environ['MARK'] = '1'\n"
        "os.makedirs('a/' * 15)\nopen('f', 'w').close()"
    )
    clean = "import builtins, os\nprint(hasattr(builtins, 'mark'), 'MARK' in os.environ, os.listdir('.'))"
    for _ in range(8):
        assert (await sandbox.run(dirty, files={})).ending is Ending.OK
    for _ in range(8):
        assert (await sandbox.run(clean, files={})).stdout == b"False False []\n"


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        ("for n in range(1000): open(f'f{n}', 'w').close()", "it left more than 20 files or folders"),
        ("import os\nfor n in range(100): os.mkdir(f'd{n}')", "it left more than 20 files or folders"),
        ("open('big', 'wb').write(bytes(2_000_000))", "'big', with 2,000,000 bytes, is over what the folder may hold"),
        ("for n in range(3): open(f'f{n}', 'wb').write(bytes(500_000))", "is over what the folder may hold"),
        ("import os\nfor n in range(40):\n    os.mkdir('d'); os.chdir('d')", "is too long or too deep"),
        ("open(b'\\xff', 'w').close()", "it is not Unicode text"),
        ("f = open('sparse', 'wb'); f.truncate(10_000_000)", "with 10,000,000 bytes"),
    ],
)
async def test_a_folder_over_its_quota_is_told_and_not_kept(sandbox: Sandbox, source: str, detail: str):
    result = await sandbox.run(source, files={"kept": b"1"})
    assert (result.ending, dict(result.files)) == (Ending.FILE_LIMIT, {}), result
    assert detail in result.detail
    assert (await sandbox.run("import os; print(os.listdir('.'))", files={})).stdout == b"[]\n"


@pytest.mark.parametrize("path", ["../x", "/etc/x", "", ".", "a//b", "a/../b", "a\0b", "a/" * 20 + "b", "x" * 300])
async def test_files_with_paths_outside_are_refused(sandbox: Sandbox, path: str):
    with pytest.raises(QuotaError, match="path"):
        await sandbox.run("", files={path: b""})


async def test_symbolic_links_cannot_be_made(sandbox: Sandbox):
    result = await sandbox.run("import os; os.symlink('/etc/passwd', 'link')", files={})
    assert b"PermissionError" in result.stderr
    assert result.files == {}


async def test_a_dead_zygote_is_replaced_and_its_programs_are_nobodys_fault(sandbox: Sandbox):
    zygote = zygote_of(sandbox)
    running = asyncio.create_task(sandbox.run("import time; time.sleep(100)"))
    while not zygote.children():
        await asyncio.sleep(0.01)
    child = zygote.children()[0]
    os.kill(zygote.pid, signal.SIGKILL)
    result = await running
    assert (result.ending, result.exit_status) == (Ending.INFRASTRUCTURE, None)
    assert "gone" in result.detail
    assert (await sandbox.run("print(1)")).stdout == b"1\n"
    assert zygote_of(sandbox).pid != zygote.pid
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running()


async def test_a_zygote_that_dies_again_and_again_is_given_up(sandbox: Sandbox):
    for _ in range(5):
        os.kill(zygote_of(sandbox).pid, signal.SIGKILL)
        await asyncio.sleep(0.05)
        assert (await sandbox.run("print(1)")).ending is Ending.OK
    os.kill(zygote_of(sandbox).pid, signal.SIGKILL)
    await asyncio.sleep(0.05)
    result = await sandbox.run("print(1)")
    assert (result.ending, result.detail) == (
        Ending.INFRASTRUCTURE,
        "the process that makes confined processes died 5 times in a row",
    )


async def test_a_closed_sandbox_leaves_nothing_running(tmp_path: Path):
    sandbox = Sandbox(slots=2)
    await sandbox.start()
    zygote = zygote_of(sandbox)
    running = asyncio.create_task(sandbox.run("import time; time.sleep(100)", files={}))
    while not zygote.children():
        await asyncio.sleep(0.01)
    child = zygote.children()[0]
    await sandbox.close()
    assert (await running).ending is Ending.INFRASTRUCTURE
    assert not zygote.is_running()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running()
    result = await sandbox.run("print(1)")
    assert (result.ending, result.detail) == (Ending.INFRASTRUCTURE, "the sandbox is not started, or closed")


async def test_a_cancelled_run_ends_its_program_and_frees_its_slot():
    async with Sandbox(slots=1) as sandbox:
        zygote = zygote_of(sandbox)
        for _ in range(5):
            running = asyncio.create_task(sandbox.run("import time; time.sleep(100)", files={}))
            while not zygote.children():
                await asyncio.sleep(0.01)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert zygote.children() == []
        assert (await sandbox.run("print(1)")).stdout == b"1\n"


async def test_no_descriptor_process_or_folder_is_left_behind():
    async with Sandbox(slots=4) as sandbox:
        zygote = zygote_of(sandbox)
        await asyncio.gather(*(sandbox.run("print(1)", files={}) for _ in range(8)))
        before = (psutil.Process().num_fds(), zygote.num_fds())
        endings = [
            "print(1)",
            "1/0",
            "import os; os._exit(9)",
            "import os; os.close(1)",
            "x='a'*10**10",
            "print('x'*10**7)",
        ]
        results = await asyncio.gather(*(sandbox.run(s, files={"f": b"1"}) for s in endings * 20))
        assert {str(result.ending) for result in results} == {"ok", "error", "memory", "output_limit"}
        assert (psutil.Process().num_fds(), zygote.num_fds(), zygote.children()) == (*before, [])


async def test_a_conversation_carries_values(sandbox: Sandbox):
    async with sandbox.turn() as turn, turn.open("calls", "def f(x): return x") as process:
        assert await process.receive(5) == {"loaded": True}
        args = [{"t": [1, {"b": "ff"}]}]
        request = {"do": "call", "name": "f", "args": args, "kwargs": {"d": []}, "changes": True}
        assert await process.ask(request, 5) == {
            "value": {"t": [1, {"b": "ff"}]},
            "args": [{"t": [1, {"b": "ff"}]}],
        }
        process.finish()
        assert (await process.result()).ending is Ending.OK


async def test_a_conversation_ends_with_what_the_program_did(sandbox: Sandbox):
    async with sandbox.turn() as turn:
        async with turn.open("calls", "import os; os.write(4, b'\\xff' * 8)") as process:
            with pytest.raises(WireError, match="a frame of 4294967295 bytes; at most 1048576 are read"):
                await process.receive(5)
        async with turn.open("calls", "import os; os._exit(0)") as process:
            with pytest.raises(EOFError):
                await process.receive(5)
        async with turn.open("calls", "while True: pass") as process:
            with pytest.raises(TimeoutError):
                await process.receive(60, cpu_s=0.2)


async def test_a_program_that_could_not_be_confined_is_not_run(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch):
    isolation = sandbox._isolation
    assert isinstance(isolation, ZygoteIsolation)
    assert isolation._server is not None
    order = isolation._server.order

    def with_a_wrong_limit(harness: str, limits: dict[str, int], folder: str, descriptors: list[int]):
        return order(harness, {**limits, "memory": "none"}, folder, descriptors)

    monkeypatch.setattr(isolation._server, "order", with_a_wrong_limit)
    result = await sandbox.run("print('ran')")
    assert (result.ending, result.stdout) == (Ending.INFRASTRUCTURE, b"")
    assert "ended before it was confined" in result.detail
    async with sandbox.turn() as turn, turn.open("calls", "") as process:
        with pytest.raises(InfrastructureError, match="ended before it was confined"):
            await process.receive(5)


async def test_packages_of_the_folder_can_be_imported(tmp_path: Path):
    (tmp_path / "extra.py").write_text("x = 'extra'")
    async with Sandbox(slots=1, packages=tmp_path) as sandbox:
        assert (await sandbox.run("import extra; print(extra.x)")).stdout == b"extra\n"


@pytest.mark.parametrize("stack_kb", [32, 256])
async def test_a_program_with_too_many_threads_is_ended(sandbox: Sandbox, stack_kb: int):
    source = (
        f"import threading, time\nthreading.stack_size({stack_kb} << 10)\n"
        "while True:\n    threading.Thread(target=time.sleep, args=(100,)).start()\n"
    )
    result = await sandbox.run(source, limits=SHORT)
    assert result.ending is Ending.THREAD_LIMIT


async def test_output_can_be_thrown_away(sandbox: Sandbox):
    result = await sandbox.run("open('/dev/null', 'w').write('x'); print(open('/dev/null').read() == '')")
    assert result.stdout == b"True\n"


async def test_thirty_threads_are_not_too_many(sandbox: Sandbox):
    source = (
        "import threading, time\nthreads = [threading.Thread(target=time.sleep, args=(0.1,)) for _ in range(30)]\n"
        "for thread in threads: thread.start()\nfor thread in threads: thread.join()\nprint('done')"
    )
    assert (await sandbox.run(source)).stdout == b"done\n"


async def test_what_a_program_locks_up_is_read_and_removed(sandbox: Sandbox):
    source = "import os\nos.umask(0o777)\nos.mkdir('locked')\nopen('shut', 'w').write('x')"
    result = await sandbox.run(source, files={})
    assert (result.ending, dict(result.files)) == (Ending.OK, {"shut": b"x"})
    assert (await sandbox.run("import os; print(os.listdir())", files={})).stdout == b"[]\n"


async def test_who_sleeps_has_less_time_than_who_computes(sandbox: Sandbox):
    limits = Limits(idle_s=0.5)
    async with sandbox.turn() as turn:
        async with turn.open("calls", "import time\ndef f(s): time.sleep(s)", limits=limits) as process:
            await process.receive(10)
            nap = {"do": "call", "name": "f", "args": [0.2], "kwargs": {"d": []}}
            assert "value" in await process.ask(nap, 10)
            assert "value" in await process.ask(nap, 10)
            with pytest.raises(TimeoutError):
                await process.ask(nap, 10)
        busy = "import time\ndef f(s):\n    while time.process_time() < s: pass"
        async with turn.open("calls", busy, limits=limits) as process:
            await process.receive(10)
            assert "value" in await process.ask({**nap, "args": [1.0]}, 60)
