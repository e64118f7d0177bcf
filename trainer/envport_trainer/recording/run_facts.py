"""What a run is: `run.json`, written when it starts. Configuration, environments by digest, versions, device; no token.

A URL may carry a password (`http://user:password@host`) or a key in its query: both are left out.
"""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from envport_trainer.recording.atomic_files import replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from envport_protocol.messages import Manifest

    from envport_trainer.config import TrainConfig

FILE_NAME = "run.json"
_PACKAGES = ("envport", "torch", "transformers", "vllm", "peft", "bitsandbytes")


def run_facts(config: TrainConfig, manifests: Sequence[Manifest], device: object) -> dict[str, Any]:
    """The facts as JSON values. `manifests` in the order of `config.envs`."""
    values = config.model_dump(mode="json")
    values["envs"] = [env | {"url": bare_url(env["url"])} for env in values["envs"]]
    if values.get("sampler_url"):
        values["sampler_url"] = bare_url(values["sampler_url"])
    return {
        "format": 1,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "resumed_at": [],
        "model": config.model,
        "environments": [_environment(manifest, env.url) for manifest, env in zip(manifests, config.envs, strict=True)],
        "config": values,
        "device": device_name(device),
        "versions": versions(),
    }


def write_run_facts(folder: Path, facts: Mapping[str, Any], *, resumed: bool = False) -> None:
    """Write `run.json`. A resumed run keeps the time when it first started, and adds this one to `resumed_at`."""
    written = dict(facts)
    earlier = read_run_facts(folder) if resumed else None
    if earlier is not None:
        written["resumed_at"] = [*earlier.get("resumed_at", []), facts["started_at"]]
        written["started_at"] = earlier.get("started_at")
    replace_file(folder / FILE_NAME, json.dumps(written, indent=1).encode() + b"\n")


def read_run_facts(folder: Path) -> dict[str, Any] | None:
    """What `run.json` says; None where it is missing or is not what a run writes."""
    try:
        value = json.loads((folder / FILE_NAME).read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def bare_url(url: str) -> str:
    """`url` without user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a run does, of those that are installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def device_name(device: object) -> str:
    """The device's name, such as "cuda (NVIDIA H200)"."""
    if not str(device).startswith("cuda"):
        return f"{device} ({platform.machine()})"
    import torch

    return f"{device} ({torch.cuda.get_device_name(str(device))})"


def _environment(manifest: Manifest, url: str) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "version": manifest.version,
        "digest": manifest.digest,
        "url": bare_url(url),
        "rewards": [
            {"name": spec.name, "weight": spec.weight, "description": spec.description} for spec in manifest.rewards
        ],
        "tools": [tool.name for tool in manifest.tools],
    }
