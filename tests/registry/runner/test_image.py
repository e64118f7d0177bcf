"""The build's log as it is followed; what needs an engine is in test_docker.py."""

from __future__ import annotations

import pytest
import urllib3.exceptions
from envport_registry.runner.errors import BuildFailedError
from envport_registry.runner.image import _follow_build


def test_a_build_that_talks_for_ever_is_given_up_at_its_deadline(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("envport_registry.runner.image.time.monotonic", lambda: now[0])

    def endless():
        while True:
            now[0] += 100.0
            yield {"stream": f"still at it after {now[0]:g} s\n"}

    lines: list[str] = []
    with pytest.raises(BuildFailedError, match="the image of tiny was not built: it took longer than 1800 s") as caught:
        _follow_build(endless(), "tiny", lines.append)
    assert len(lines) == 19
    assert caught.value.log[-1] == "still at it after 1900 s"


def test_a_build_that_falls_silent_is_told_as_a_failed_build():
    def silent():
        yield {"stream": "the last line\n"}
        raise urllib3.exceptions.ReadTimeoutError(None, "/build", "Read timed out.")

    with pytest.raises(BuildFailedError, match="it said nothing for 600 s, or the engine hung up") as caught:
        _follow_build(silent(), "tiny", lambda _: None)
    assert caught.value.log == ["the last line"]
