"""Programs in containers of their own, on a real engine."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import docker
import pytest
from envport_code import CodeEnv
from envport_code.grading.grade import Verdict
from envport_code.grading.grader import Grader
from envport_code.problem import CodeCase, Problem
from envport_code.problems.writing import call, do, get, new, session, stdin
from envport_registry.errors import RegistryError
from envport_registry.runner.docker import connect_engine
from envport_sandbox import Ending, InfrastructureError, Limits, Quota, QuotaError, Sandbox, UnconfinedError
from envport_sandbox.container import IMAGE, ContainerIsolation
from envport_sandbox.container_engine import INSTANCE, OWNER
from envport_sandbox.container_owner import Owner

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.docker

BASE = os.environ.get("ENVPORT_BASE_IMAGE", IMAGE)
QUOTA = Quota(total_mb=4, files=10)
QUICK = Limits(wall_s=20, cpu_s=5)


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    try:
        connect_engine().close()
    except RegistryError as error:
        pytest.skip(str(error))
    client = docker.from_env(timeout=60)
    yield client
    client.close()


@pytest.fixture(scope="module")
def isolation(engine: docker.DockerClient) -> Iterator[ContainerIsolation]:
    """Started once: it belongs to no event loop."""
    isolation = ContainerIsolation(QUOTA, image=BASE)
    asyncio.run(isolation.start())
    yield isolation
    asyncio.run(isolation.stop())


@pytest.fixture
def sandbox(isolation: ContainerIsolation) -> Sandbox:
    return Sandbox(slots=8, quota=QUOTA, isolation=isolation)


def of(engine: docker.DockerClient, owner: Owner | None = None) -> list[str]:
    """The names of this process's containers."""
    label = f"{OWNER}={owner or Owner.this_process()}"
    return [found.name for found in engine.containers.list(all=True, filters={"label": label})]


EAT = "held = bytearray(b'x') * (400 << 20)"


@pytest.mark.parametrize(
    ("source", "limits", "ending", "status"),
    [
        ("print('done')", QUICK, Ending.OK, 0),
        ("raise ValueError('no')", QUICK, Ending.ERROR, 1),
        ("import sys; sys.exit(7)", QUICK, Ending.ERROR, 7),
        ("import os; os.abort()", QUICK, Ending.ERROR, -6),
        ("while True: pass", Limits(wall_s=20, cpu_s=1), Ending.TIMEOUT, -24),
        ("import time; time.sleep(300)", Limits(wall_s=1), Ending.TIMEOUT, -9),
        ("held = bytearray(1 << 30)", QUICK, Ending.MEMORY, 121),
        (f"import os\nfor _ in range(3): os.fork()\n{EAT}\nimport time; time.sleep(300)", QUICK, Ending.MEMORY, -9),
        ("while True: print('x' * 1000)", QUICK, Ending.OUTPUT_LIMIT, -9),
        ("import os\nwhile True: os.write(2, b'x' * 100000)", QUICK, Ending.OUTPUT_LIMIT, -9),
        ("import os\nwhile True: os.write(4, b'x' * 100000)", QUICK, Ending.OUTPUT_LIMIT, -9),
        ("for n in range(11): open(f'{n}', 'w')", QUICK, Ending.FILE_LIMIT, 0),
        ("import os; os.mkdir(b'\\xff')\nopen(b'\\xff/x', 'w')", QUICK, Ending.FILE_LIMIT, 0),
    ],
)
async def test_a_program_ends_as_it_would_in_a_process(
    sandbox: Sandbox, source: str, limits: Limits, ending: Ending, status: int
) -> None:
    result = await sandbox.run(source, limits=limits, files={})
    assert (result.ending, result.exit_status, result.files) == (ending, status, {}), result


async def test_what_a_program_printed_before_its_deadline_is_kept(sandbox: Sandbox) -> None:
    result = await sandbox.run("print('so far', flush=True)\nwhile True: pass", limits=Limits(wall_s=1, cpu_s=60))
    assert (result.ending, result.stdout) == (Ending.TIMEOUT, b"so far\n")


async def test_all_of_stdin_and_of_stdout_arrives_whatever_bytes_it_has(sandbox: Sandbox) -> None:
    sent = bytes(range(256)) * 4000
    source = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    result = await sandbox.run(source, stdin=sent, limits=QUICK)
    assert (result.ending, result.stdout == sent, result.stderr) == (Ending.OK, True, b"")


async def test_files_go_in_and_come_out(sandbox: Sandbox) -> None:
    source = """
import os
text = open("data/in.txt").read()
os.remove("data/in.txt")
os.mkdir("made")
open("made/out.bin", "wb").write(text.encode() * 2)
os.symlink("/etc/passwd", "link")
"""
    result = await sandbox.run(source, files={"data/in.txt": "hä".encode(), "kept": b"\0"}, limits=QUICK)
    assert (result.ending, result.files) == (Ending.OK, {"kept": b"\0", "made/out.bin": "hähä".encode()})


async def test_files_over_the_quota_are_refused_on_either_way(sandbox: Sandbox) -> None:
    with pytest.raises(QuotaError, match="at most 4 MiB"):
        await sandbox.run("", files={"big": b"x" * (5 << 20)})
    result = await sandbox.run("open('big', 'wb').write(b'x' * (5 << 20))", files={}, limits=QUICK)
    assert (result.ending, b"No space left" in result.stderr) == (Ending.ERROR, True)


async def test_without_a_folder_nothing_can_be_written(sandbox: Sandbox) -> None:
    source = """
import os
for folder in [".", "/tmp", "/slot", "/dev/shm", *(line.split()[1] for line in open("/proc/mounts"))]:
    try:
        open(os.path.join(folder, "x"), "w")
    except OSError:
        continue
    print(folder)
"""
    result = await sandbox.run(source, limits=QUICK)
    assert (result.ending, result.stdout) == (Ending.OK, b"")


async def test_there_is_no_network_no_secret_and_no_right(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HIDDEN_TOKEN", "sesame")
    proxy = '{"proxies": {"default": {"httpProxy": "http://user:sesame@proxy:1"}}}'
    (tmp_path / "config.json").write_text(proxy)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    source = """
import os, socket
try:
    socket.create_connection(("1.1.1.1", 53), 2)
except OSError as error:
    print(error.strerror)
print("sesame" in open("/proc/self/environ").read() + str(os.environ), os.getuid(), os.getgid(), os.getgroups())
print([line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapEff", "CapBnd", "NoNewPrivs"))])
"""
    other = ContainerIsolation(QUOTA, image=BASE)
    async with Sandbox(slots=1, isolation=other) as own:
        result = await own.run(source, limits=QUICK)
    assert result.stdout.decode().splitlines() == [
        "Network is unreachable",
        "False 10001 10001 [10001]",
        "['0000000000000000', '0000000000000000', '1']",
    ]


async def test_a_program_cannot_reach_its_supervisor(sandbox: Sandbox) -> None:
    source = """
import os, signal
for path in ("/proc/1/fd/1", "/proc/1/mem", "/proc/1/environ"):
    try:
        open(path, "r+b")
    except OSError as error:
        print(type(error).__name__)
for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGINT):
    os.kill(1, number)
print("it goes on")
"""
    result = await sandbox.run(source, limits=QUICK)
    assert (result.ending, result.stdout) == (Ending.OK, b"PermissionError\n" * 3 + b"it goes on\n"), result


@pytest.mark.parametrize("limit", ["RLIMIT_CPU, (0, 0)", "RLIMIT_AS, (1, 1)", "RLIMIT_NOFILE, (0, 0)"])
async def test_ending_its_supervisor_by_limits_is_the_programs_own_fault(sandbox: Sandbox, limit: str) -> None:
    source = f"import resource, time\nresource.prlimit(1, resource.{limit})\nprint('x' * 1000000)\ntime.sleep(1)\n1/0"
    result = await sandbox.run(source, limits=QUICK, files={})
    assert (result.ending, result.files) == (Ending.ERROR, {}), result


async def test_what_a_program_started_ends_with_it(sandbox: Sandbox) -> None:
    source = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            open("late", "a").write("x")
            time.sleep(0.01)
    os._exit(0)
os.wait()
print("the end")
"""
    result = await sandbox.run(source, files={}, limits=QUICK)
    assert (result.ending, result.stdout) == (Ending.OK, b"the end\n")


async def test_a_fork_bomb_is_held_and_others_go_on(sandbox: Sandbox, engine: docker.DockerClient) -> None:
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    calm = "import threading, time\nfor _ in range(20): threading.Thread(target=time.sleep, args=(2,)).start()"
    held, other = await asyncio.gather(
        sandbox.run(bomb, limits=Limits(wall_s=4, cpu_s=3), turn="a"), sandbox.run(calm, limits=QUICK, turn="b")
    )
    assert (held.ending, other.ending) == (Ending.TIMEOUT, Ending.OK), (held, other)
    assert of(engine) == []


async def test_eight_at_a_time_are_told_apart_and_leave_nothing(sandbox: Sandbox, engine: docker.DockerClient) -> None:
    results = await asyncio.gather(
        *(
            sandbox.run(f"print(input(), open('f').read(), {n})", stdin=f"in {n}", files={"f": b"%d" % n}, turn=str(n))
            for n in range(8)
        )
    )
    assert [result.stdout.decode() for result in results] == [f"in {n} {n} {n}\n" for n in range(8)]
    assert of(engine) == []


@pytest.mark.parametrize("after_s", [0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6])
async def test_a_cancelled_run_leaves_no_container(
    sandbox: Sandbox, engine: docker.DockerClient, after_s: float
) -> None:
    running = asyncio.create_task(sandbox.run("import time; time.sleep(300)", limits=Limits(wall_s=300)))
    await asyncio.sleep(after_s)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert of(engine) == []


async def test_also_one_that_is_cancelled_again_and_again_leaves_none(engine: docker.DockerClient) -> None:
    isolation = ContainerIsolation(QUOTA, image=BASE)
    async with Sandbox(slots=4, isolation=isolation) as sandbox:
        running = [asyncio.create_task(sandbox.run("import time; time.sleep(300)")) for _ in range(4)]
        await asyncio.sleep(0.3)
        for _ in range(5):
            for task in running:
                task.cancel()
            await asyncio.sleep(0.001)
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*running)
    assert of(engine) == []


PROBLEMS = {
    "calls": Problem(
        problem_id="t/calls",
        level=1,
        statement="",
        entry=("double",),
        hidden=(call(2, gives=4), call([1], gives=[1, 1]), call({}, raises="TypeError")),
        reference="def double(x): return x * 2",
        wrong=("def double(x): return x + x if x != 2 else 5",),
    ),
    "session": Problem(
        problem_id="t/session",
        level=1,
        statement="",
        entry=("Counter",),
        hidden=(session(new(3), do("up", gives=4), get("n", gives=4)),),
        reference="class Counter:\n    def __init__(self, n): self.n = n\n    def up(self): self.n += 1; return self.n",
        wrong=("class Counter:\n    def __init__(self, n): self.n = n\n    def up(self): return self.n + 1",),
    ),
    "stdin": Problem(
        problem_id="t/stdin",
        level=1,
        statement="",
        hidden=(stdin("1 2", prints="3"), stdin("5 5", prints="10")),
        reference="print(sum(map(int, input().split())))",
        wrong=("print(3)",),
    ),
    "code": Problem(
        problem_id="t/code",
        level=1,
        statement="",
        entry=("add",),
        hidden=(
            CodeCase(source="def check(candidate):\n    assert [candidate(n, 1) for n in range(5)] == [1,2,3,4,5]"),
        ),
        reference="def add(a, b): return a + b",
        wrong=("def add(a, b): return a + b if a < 4 else 0",),
    ),
}


@pytest.mark.parametrize("kind", PROBLEMS)
async def test_answers_are_graded(sandbox: Sandbox, kind: str) -> None:
    problem, grader = PROBLEMS[kind], Grader(sandbox)
    right = await grader.grade(problem, problem.reference, problem.hidden)
    assert {result.verdict for result in right.results} == {Verdict.PASSED}, right
    wrong = await grader.grade(problem, problem.wrong[0], problem.hidden)
    assert Verdict.WRONG in {result.verdict for result in wrong.results}, wrong


@pytest.mark.parametrize(
    ("source", "verdicts"),
    [
        ("def double(x):\n    while True: pass", {Verdict.TIMEOUT}),
        ("import os\ndef double(x): os._exit(0)", {Verdict.BROKEN}),
        ("import os\ndef double(x):\n    os.close(4)\n    while True: pass", {Verdict.TIMEOUT, Verdict.BROKEN}),
        ("import os\nos.write(4, b'\\xff' * 8)\ndef double(x): return x * 2", {Verdict.NOT_LOADED}),
        ("def double(x): return [x] * (1 << 28)", {Verdict.MEMORY}),
    ],
)
async def test_answers_that_are_none_are_no_infrastructure(
    sandbox: Sandbox, source: str, verdicts: set[Verdict]
) -> None:
    problem = replace(PROBLEMS["calls"], case_timeout_s=1.0)
    grade = await Grader(sandbox).grade(problem, source, problem.hidden)
    assert {result.verdict for result in grade.results} <= verdicts, grade


async def test_the_environment_takes_it_by_an_option(engine: docker.DockerClient) -> None:
    env = CodeEnv(isolation="container", isolation_image=BASE, slots=2)
    await env.start_serving()
    try:
        task = next(task for task in env.tasks("train") if task.private["problem"].entry)
        env.start_rollout("r", task)
        await env.run_python("r", "open('kept', 'w').write('here')")
        said = await env.run_python("r", "print(open('kept').read())")
        rewards = await env.compute_reward("r", env.oracle(task), task)
    finally:
        await env.stop_serving()
    assert "here" in said
    assert rewards["all_passed"].score == 1.0
    assert of(engine) == []


async def test_what_a_dead_server_left_is_removed_and_nothing_of_a_living_one(engine: docker.DockerClient) -> None:
    own = Owner.this_process()
    dead, elsewhere = own._replace(started="1"), own._replace(boot="another-boot")
    long = {"command": ["-c", "import time; time.sleep(300)"], "network_mode": "none", "detach": True, "init": True}
    made = {
        name: engine.containers.run(BASE, entrypoint="python3", labels={OWNER: str(owner)}, **long)
        for name, owner in {"dead": dead, "living": own, "elsewhere": elsewhere, "ended elsewhere": elsewhere}.items()
    }
    try:
        made["ended elsewhere"].kill()
        async with Sandbox(isolation=ContainerIsolation(QUOTA, image=BASE)):
            pass
        left = {found.id for found in engine.containers.list(all=True, filters={"label": OWNER})}
        assert {name for name, container in made.items() if container.id in left} == {"living", "elsewhere"}
    finally:
        for container in made.values():
            with suppress(docker.errors.NotFound):
                container.remove(force=True)


SERVER = """
import asyncio, sys
from envport_sandbox import Limits, Quota, Sandbox
from envport_sandbox.container import ContainerIsolation

async def main():
    sandbox = Sandbox(slots=1, isolation=ContainerIsolation(Quota(), image=sys.argv[1]))
    await sandbox.start()
    async with sandbox.turn() as turn, turn.open("calls", "import time; time.sleep(300)", limits=Limits(wall_s=300)):
        print("running", flush=True)
        await asyncio.sleep(300)

asyncio.run(main())
"""


async def test_a_killed_servers_program_ends_and_its_container_goes_with_the_next_start(
    engine: docker.DockerClient, isolation: ContainerIsolation
) -> None:
    before = set(engine.containers.list(all=True, filters={"label": OWNER}))
    server = subprocess.Popen([sys.executable, "-c", SERVER, BASE], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    with server.stdout:
        assert await asyncio.to_thread(server.stdout.readline) == "running\n"
        (left,) = set(engine.containers.list(all=True, filters={"label": OWNER})) - before
        server.kill()
        server.wait()
    assert await asyncio.to_thread(left.wait, timeout=60) == {"Error": None, "StatusCode": 2}
    async with Sandbox(isolation=ContainerIsolation(QUOTA, image=BASE)):
        pass
    with pytest.raises(docker.errors.NotFound):
        left.reload()


@asynccontextmanager
async def relay(path: Path) -> AsyncGenerator[asyncio.Event]:
    """A socket that leads to the real engine until the event is set; then its connections break, and it is dead."""
    pumps: set[asyncio.Task[None]] = set()
    broken = asyncio.Event()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(1 << 16):
                writer.write(chunk)
                await writer.drain()
        with suppress(OSError):
            writer.write_eof()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        pumps.add(task)
        there, back = await asyncio.open_unix_connection("/var/run/docker.sock")
        try:
            await asyncio.gather(pump(reader, back), pump(there, writer))
        except asyncio.CancelledError:
            pass
        finally:
            for end in (writer, back):
                end.transport.abort()
            pumps.discard(task)

    async def cut() -> None:
        await broken.wait()
        server.close()
        for task in list(pumps):
            task.cancel()

    server = await asyncio.start_unix_server(serve, path)
    cutting = asyncio.create_task(cut())
    try:
        yield broken
    finally:
        broken.set()
        await cutting


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # the SDK's, when it is refused
async def test_an_engine_that_is_lost_is_not_the_programs_fault(
    engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/s")
    isolation = ContainerIsolation(QUOTA, image=BASE)
    sandbox = Sandbox(slots=2, isolation=isolation)
    try:
        async with relay(tmp_path / "s") as broken:
            await sandbox.start()
            async with sandbox.turn() as turn:
                async with turn.open("script", "import time; time.sleep(300)", limits=Limits(wall_s=300)) as process:
                    waiting = asyncio.create_task(process.result())
                    await asyncio.sleep(0.2)
                    broken.set()
                    during = await waiting
                later = await turn.run("print(1)")
                with pytest.raises(InfrastructureError, match="does not answer"):
                    async with turn.open("calls", ""):
                        pass
        assert (during.ending, later.ending) == (Ending.INFRASTRUCTURE, Ending.INFRASTRUCTURE)
        assert "does not answer" in during.detail
        assert "does not answer" in later.detail
    finally:
        await sandbox.close()
        assert isolation.instance is not None
        for left in engine.containers.list(all=True, filters={"label": f"{INSTANCE}={isolation.instance}"}):
            left.remove(force=True)
        gc.collect()


async def test_a_container_that_somebody_else_removes_is_not_the_programs_fault(
    sandbox: Sandbox, engine: docker.DockerClient
) -> None:
    async with (
        sandbox.turn() as turn,
        turn.open("script", "import time; time.sleep(300)", limits=Limits(wall_s=300)) as process,
    ):
        (name,) = of(engine)
        await asyncio.to_thread(engine.containers.get(name).remove, force=True)
        result = await process.result()
    assert result.ending is Ending.INFRASTRUCTURE, result


async def test_without_an_engine_nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    sandbox = Sandbox(isolation=ContainerIsolation(QUOTA))
    with pytest.raises(UnconfinedError, match=r"no Docker engine is reachable at .*none.*isolation=process"):
        await sandbox.start()
    assert (await sandbox.run("print(1)")).ending is Ending.INFRASTRUCTURE


async def test_an_image_that_is_not_to_be_had_is_named(engine: docker.DockerClient) -> None:
    image = "localhost:1/no/such:image"
    with pytest.raises(UnconfinedError, match=r"no image localhost:1/no/such:image .*isolation_image=NAME"):
        await Sandbox(isolation=ContainerIsolation(QUOTA, image=image)).start()


async def test_a_container_that_does_not_confine_is_not_used(
    engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from envport_sandbox import container_engine

    held = container_engine._host_settings
    monkeypatch.setattr(
        container_engine,
        "_host_settings",
        lambda room: held(room) | {"network_mode": "bridge", "tmpfs": {"/tmp": "rw"} | held(room)["tmpfs"]},
    )
    with pytest.raises(UnconfinedError, match=r"was not held.*writing in /tmp"):
        await Sandbox(isolation=ContainerIsolation(QUOTA, image=BASE)).start()
    assert of(engine) == []


async def test_an_image_without_python_is_told(engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from envport_sandbox import container_engine

    monkeypatch.setattr(container_engine, "BOOTSTRAP", "raise SystemExit('no such python')")
    with pytest.raises(UnconfinedError, match=r"ended before it had a program: no such python"):
        await Sandbox(isolation=ContainerIsolation(QUOTA, image=BASE)).start()
    assert of(engine) == []
