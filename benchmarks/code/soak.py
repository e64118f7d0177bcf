"""Many programs, and what of them is left: processes, files, descriptors, memory.

    python benchmarks/code/soak.py --programs 1000000 [--json FILE]

Runs programs in the sandbox itself, without HTTP: most are trivial; one in 50 each leaves files, is killed at its
deadline, runs out of memory, prints without end, closes its descriptors, leaves by os._exit, or is cancelled by its
caller. Exits 1 when, after the first quarter, a descriptor or process is more than before, a file is left in a slot's
folder, or the resident memory of the server or the zygote has grown by more than 2 MiB, or the server's Python by more
than 2,000 blocks. Ctrl-C ends it with a report.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from envport_sandbox import Ending, Limits, Sandbox
from envport_sandbox.isolation import ZygoteIsolation
from rich.progress import Progress

ROUND = 50
AT_ONCE = 12
MOST_GROWN = {"kb": 2048, "blocks": 2000}
TOLD_EVERY = 50_000
LIMITS = Limits(wall_s=30, cpu_s=5, output_kb=64)
ODD: list[tuple[str, Limits, Ending]] = [
    ("for n in range(20): open(f'f{n}', 'wb').write(b'x' * 5000)", LIMITS, Ending.OK),
    ("import time; time.sleep(100)", Limits(wall_s=0.2), Ending.TIMEOUT),
    ("x = [0] * 10**10", LIMITS, Ending.MEMORY),
    ("while True: print('x' * 1000)", LIMITS, Ending.OUTPUT_LIMIT),
    ("import os\nfor n in range(64):\n    try: os.close(n)\n    except OSError: pass", LIMITS, Ending.OK),
    ("import os; os._exit(7)", LIMITS, Ending.ERROR),
    ("for n in range(200): open(f'f{n}', 'w').close()", LIMITS, Ending.FILE_LIMIT),
]


class Vitals(NamedTuple):
    """What could leak."""

    server_kb: int
    zygote_kb: int
    server_blocks: int
    """Blocks that Python holds in the server. The resident memory also counts what malloc keeps of freed memory."""
    server_descriptors: int
    zygote_descriptors: int
    processes: int
    files: int


def main() -> int:
    """1 where something leaked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--programs", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    report = asyncio.run(soak(arguments.programs))
    print(json.dumps(report, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    return 1 if report["leaked"] else 0


async def soak(programs: int) -> dict[str, Any]:
    """The vitals after a quarter of the programs and at the end, and what is wrong with them."""
    endings: dict[str, int] = {}
    began = time.monotonic()
    async with Sandbox(slots=8) as sandbox:
        with Progress(disable=not sys.stderr.isatty()) as progress:
            bar = progress.add_task("programs", total=programs)
            done = 0
            quarter: Vitals | None = None
            while done < programs:
                count = min(ROUND * 20, programs - done)
                try:
                    await run_many(sandbox, count, endings)
                except asyncio.CancelledError:
                    break  # Ctrl-C: what was run so far is told
                done += count
                progress.update(bar, completed=done)
                if not sys.stderr.isatty() and done % TOLD_EVERY == 0:
                    print(f"{done:,} programs in {time.monotonic() - began:.0f} s", file=sys.stderr)
                if quarter is None and done >= programs / 4:
                    quarter = vitals(sandbox)
        end = vitals(sandbox)
        quarter = quarter or end
    seconds = time.monotonic() - began
    return {
        "programs": done,
        "seconds": round(seconds, 1),
        "per_s": round(done / seconds, 1),
        "endings": endings,
        "after_a_quarter": quarter._asdict(),
        "at_the_end": end._asdict(),
        "leaked": leaks(quarter, end),
    }


async def run_many(sandbox: Sandbox, count: int, endings: dict[str, int]) -> None:
    """Runs `count` programs, some at a time, and counts their endings."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            ending = await one(sandbox, number % ROUND)
            endings[ending] = endings.get(ending, 0) + 1

    # A group waits for all of them, also when it is cancelled.
    async with asyncio.TaskGroup() as workers:
        for _ in range(AT_ONCE):
            workers.create_task(work())


async def one(sandbox: Sandbox, number: int) -> str:
    if number == len(ODD):
        running = asyncio.create_task(sandbox.run("import time; time.sleep(100)", files={}))
        await asyncio.sleep(0.005)
        running.cancel()
        await asyncio.wait({running})
        return "cancelled"
    source, limits, expected = ODD[number] if number < len(ODD) else ("print(6 * 7)", LIMITS, Ending.OK)
    result = await sandbox.run(source, limits=limits, files={} if number < ROUND // 2 else None)
    late = expected is Ending.TIMEOUT and result.ending is Ending.INFRASTRUCTURE
    # On a busy machine a deadline may pass before the program begins.
    if (result.ending is not expected and not late) or (number > len(ODD) and result.stdout != b"42\n"):
        raise RuntimeError(f"{source[:60]!r}: expected {expected}, got {result}")
    return str(result.ending)


def vitals(sandbox: Sandbox) -> Vitals:
    """When no program runs."""
    gc.collect()  # what is only waiting to be freed is held by nobody
    isolation = sandbox._isolation
    assert isinstance(isolation, ZygoteIsolation)
    assert isolation._scratch is not None
    server, zygote = psutil.Process(), psutil.Process(isolation.zygote_pid)
    folders = [isolation._scratch.folder(slot).path for slot in range(sandbox.slots.count)]
    return Vitals(
        server.memory_info().rss >> 10,
        zygote.memory_info().rss >> 10,
        sys.getallocatedblocks(),
        server.num_fds(),
        zygote.num_fds(),
        len(server.children(recursive=True)),
        sum(1 for folder in folders for _ in folder.iterdir()),
    )


def leaks(before: Vitals, after: Vitals) -> list[str]:
    """What is more than it was, in words."""
    found = [
        f"{name}: {was} to {now}"
        for name, was, now in zip(Vitals._fields, before, after, strict=True)
        if now > was + MOST_GROWN.get(name.rpartition("_")[2], 0)
    ]
    return found + ([f"{after.files} files left"] if after.files else [])


if __name__ == "__main__":
    sys.exit(main())
