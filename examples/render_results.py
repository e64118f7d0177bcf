"""Put the results of `make demo` into the README: its table, the reward curve and a picture of the terminal.

    .venv/bin/python examples/render_results.py [demo-out]

Reads `result.json`, `curve.png` and `demo.log` from the folder; writes the block between the results marks of
README.md, docs/images/curve.png and docs/images/terminal.svg.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
TERMINAL_COLUMNS = 110


def main() -> None:
    """Render the folder named on the command line into the README beside this one."""
    parser = argparse.ArgumentParser(description="Put the results of `make demo` into the README.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "demo-out", help="what the demo left")
    parser.add_argument("--root", type=Path, default=ROOT, help="folder with README.md and docs/images/")
    arguments = parser.parse_args()
    render(arguments.folder, arguments.root)


def render(folder: Path, root: Path) -> None:
    """Write README.md's results block and both pictures from what the demo left in `folder`."""
    result = json.loads((folder / "result.json").read_text("utf-8"))
    day = datetime.fromtimestamp((folder / "result.json").stat().st_mtime, UTC).date().isoformat()
    images = root / "docs/images"
    images.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / "curve.png", images / "curve.png")
    (images / "terminal.svg").write_text(terminal_svg((folder / "demo.log").read_bytes().decode("utf-8")), "utf-8")
    readme = root / "README.md"
    readme.write_text(replace_block(readme.read_text("utf-8"), block(result, day, machine())), "utf-8")


def block(result: dict[str, Any], day: str, machine: str) -> str:
    """The lines between the marks. `before` and `after` are mean rewards, `se` the standard error of the gain."""
    before, after, error = float(result["before"]), float(result["after"]), float(result["se"])
    gain = after - before
    return "\n".join(
        [
            "| held-out reward | before | after | gain | 95 % interval of the gain |",
            "|---|---|---|---|---|",
            f"| SmolLM2-135M on `extraction` | {before:.3f} | {after:.3f} | {gain:+.3f} | "
            f"{gain - 1.96 * error:+.3f} to {gain + 1.96 * error:+.3f} |",
            "",
            f"`make demo`: {int(result['steps'])} steps, {float(result['seconds']) / 60:.1f} minutes, environment in "
            f"{'Docker' if result['runtime'] == 'docker' else 'a process'}, {machine}, {day}.",
            "",
            "![Reward by step](docs/images/curve.png)",
            "",
            "![The demo in a terminal](docs/images/terminal.svg)",
        ]
    )


def replace_block(text: str, lines: str) -> str:
    """`text` with what stands between the marks replaced. Raises ValueError where the marks are not there once each."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"the README has to have {BEGIN} and {END} once each")
    return re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{lines}\n{END}", text, flags=re.DOTALL)


def terminal_svg(log: str) -> str:
    """A picture of the log as a terminal shows it, with its colours. Of a redrawn line the last state stays."""
    console = Console(record=True, width=TERMINAL_COLUMNS, file=io.StringIO(), force_terminal=True)
    for line in log.rstrip("\n").split("\n"):
        console.print(Text.from_ansi(line.rstrip("\r").rsplit("\r", 1)[-1]))
    return console.export_svg(title="make demo", unique_id="demo")


def machine() -> str:
    """Cores and processor of this machine, such as `2 cores (AMD EPYC 7B13)`."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text("utf-8"), re.MULTILINE) if info.is_file() else None
    return f"{os.cpu_count()} cores ({found[1] if found else platform.machine()})"


if __name__ == "__main__":
    main()
