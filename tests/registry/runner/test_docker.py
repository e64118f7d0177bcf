from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import httpx
import pytest
from envport_registry import pack
from envport_registry.runner import Running, Status, logs, ps, run, stop
from envport_registry.runner.docker import DockerRuntime
from envport_registry.runner.errors import (
    BaseImageError,
    BuildFailedError,
    NoEngineError,
    PortTakenError,
    RunExistsError,
    StartFailedError,
)
from envport_registry.runner.readiness import wait_until_ready
from envport_registry.runner.state import RunStore

pytestmark = pytest.mark.docker

TINY_ENV = Path(__file__).parent / "tiny_env"


def envport_containers(engine, run_id: str) -> list:
    return engine.containers.list(all=True, filters={"label": f"envport.run_id={run_id}"})


def envport_volumes(engine, run_id: str) -> list:
    return engine.volumes.list(filters={"label": f"envport.run_id={run_id}"})


def post(run: Running, verb: str, body: dict) -> dict:
    answer = httpx.post(f"{run.url}/v1/{verb}", json=body, timeout=30, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def tiny(shared_home, base_image, engine):
    """The tiny environment in a container."""
    running = run(TINY_ENV, home=shared_home, runtime="docker", base_image=base_image)
    yield running
    stop(running.run_id, home=shared_home)


@pytest.fixture
def container(tiny, engine):
    return engine.containers.get(tiny.container)


def inside(container, code: str) -> object:
    """What a Python program prints as JSON, run in the container as its user."""
    status, output = container.exec_run(["python", "-c", f"import json, os, subprocess\n{code}"])
    assert status == 0, output.decode()
    return json.loads(output)


def test_a_rollout_goes_through_the_published_port(tiny):
    manifest = httpx.get(f"{tiny.url}/v1/manifest", timeout=30, trust_env=False).json()
    assert (manifest["name"], manifest["digest"]) == ("tiny", pack(TINY_ENV).digest)
    started = post(tiny, "start_rollout", {"rollout_id": "r1", "split": "eval", "index": 1})
    assert started["messages"][0]["content"] == "Write 'stone' backwards."
    call = {"rollout_id": "r1", "call_id": "c1", "tool_name": "backwards", "arguments": {"word": "stone"}}
    assert post(tiny, "run_tool", call)["content"] == [{"type": "text", "text": "enots"}]
    reward = post(tiny, "compute_reward", {"rollout_id": "r1", "completion": "enots"})
    assert reward["rewards"] == {"exact": {"score": 1.0, "weight": 1.0, "reason": None}}
    post(tiny, "end_rollout", {"rollout_id": "r1"})


def test_the_server_has_no_rights_inside(container):
    code = """
status = dict(line.split(":", 1) for line in open("/proc/1/status").read().splitlines())
keys = ["Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"]
print(json.dumps({key: status[key].split() for key in keys} | {"groups": os.getgroups()}))
"""
    none = ["0" * 16]
    assert inside(container, code) == {
        "Uid": ["10001"] * 4,
        "Gid": ["10001"] * 4,
        "CapInh": none,
        "CapPrm": none,
        "CapEff": none,
        "CapBnd": none,
        "CapAmb": none,
        "NoNewPrivs": ["1"],
        "Seccomp": ["2"],
        "groups": [10001],
    }


def test_nothing_can_be_written_inside_but_its_journal_and_a_tmp_that_does_not_execute(container):
    code = """
def attempt(path):
    try:
        open(path, "x").close()
        os.remove(path)
    except OSError as error:
        return error.strerror
    return "written"

def execute():
    path = "/tmp/program"
    with open(path, "w") as file:
        file.write("#!/bin/sh\\n")
    os.chmod(path, 0o755)
    try:
        subprocess.run([path])
    except OSError as error:
        return error.strerror
    finally:
        os.remove(path)
    return "executed"

roots = ["/", "/app/env", "/opt/envport", "/etc", "/home", "/var/tmp", "/var/lib", "/var/lib/envport", "/tmp"]
size = os.statvfs("/tmp")
print(json.dumps([{root: attempt(f"{root}/probe") for root in roots}, execute(), size.f_blocks * size.f_frsize]))
"""
    written, executed, tmp_bytes = inside(container, code)
    # What the image's owner may not write either is denied before the file system is asked.
    open_places = ("/tmp", "/var/lib/envport")
    refused = {root: text for root, text in written.items() if root not in (*open_places, "/var/tmp")}
    assert set(refused.values()) <= {"Read-only file system", "Permission denied"}
    assert written["/var/tmp"] == "Read-only file system"
    assert [written[place] for place in open_places] == ["written", "written"]
    assert executed == "Permission denied"
    assert tmp_bytes == 64 * 2**20


def test_the_limits_of_the_environment_are_set(container):
    settings = container.attrs["HostConfig"]
    port = int(container.attrs["NetworkSettings"]["Ports"]["8000/tcp"][0]["HostPort"])
    memory = 192 * 2**20
    expected = {
        "Memory": memory,
        "MemorySwap": memory,
        "NanoCpus": 500_000_000,
        "PidsLimit": 64,
        "CapAdd": None,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "ReadonlyRootfs": True,
        "Privileged": False,
        "Init": True,
        "IpcMode": "private",
        "PidMode": "",
        "NetworkMode": "default",
        "Dns": None,
        "ShmSize": 64 * 2**20,
        "Ulimits": [{"Name": "core", "Hard": 0, "Soft": 0}],
        "Devices": None,
        "Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=64m,mode=1777"},
        "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]},
        "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
        "LogConfig": {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}},
    }
    assert {key: settings[key] for key in expected} == expected
    (mount,) = container.attrs["Mounts"]
    assert (mount["Type"], mount["Destination"], mount["RW"]) == ("volume", "/var/lib/envport", True)
    assert settings["Binds"] == [f"{mount['Name']}:/var/lib/envport:rw"]
    assert container.attrs["NetworkSettings"]["Ports"] == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}


def test_a_process_too_many_is_refused_inside(container):
    code = """
children = []
try:
    for _ in range(80):
        children.append(subprocess.Popen(["sleep", "60"]))
    seen = "all started"
except OSError as error:
    seen = error.strerror
for child in children:
    child.kill()
    child.wait()
print(json.dumps(seen))
"""
    assert inside(container, code) == "Resource temporarily unavailable"


def test_labels_name_the_run(tiny, container):
    ours = {key: value for key, value in container.labels.items() if key.startswith("envport.")}
    image_labels = {"envport.wheel": container.image.labels["envport.wheel"]}
    assert ours == image_labels | {
        "envport.run_id": tiny.run_id,
        "envport.started_at": repr(tiny.started_at),
        "envport.ref": str(TINY_ENV),
        "envport.digest": pack(TINY_ENV).digest,
    }


def test_the_image_holds_no_cache_of_pip_and_a_health_check(container, engine):
    code = 'print(json.dumps([os.path.exists(p) for p in ("/root/.cache", "/tmp/env", "/app/env/build")]))'
    assert inside(container, code) == [False, False, False]
    config = engine.images.get(container.image.id).attrs["Config"]
    assert config["User"] == "10001:10001"
    assert "http://127.0.0.1:8000/readyz" in config["Healthcheck"]["Test"][-1]


def test_an_unchanged_environment_is_not_built_again_and_its_run_is_listed_and_stopped(
    tiny, base_image, engine, tmp_path
):
    lines: list[str] = []
    again = run(
        TINY_ENV,
        home=tmp_path,
        runtime="docker",
        base_image=base_image,
        options={"greeting": "good day"},
        on_progress=lines.append,
    )
    try:
        assert again.image == tiny.image
        assert [line for line in lines if "building" in line] == []
        assert ps(tmp_path) == [(again, Status.READY)]
        said = list(logs(again.run_id, home=tmp_path))
        assert "tiny says good day" in said
        assert "envport: serving tiny 0.1.0 at http://0.0.0.0:8000" in said
        assert list(logs(again.run_id, home=tmp_path, lines=1)) == said[-1:]
        assert len(envport_volumes(engine, again.run_id)) == 1
    finally:
        stop(again.run_id, home=tmp_path)
    assert envport_volumes(engine, again.run_id) == []
    assert ps(tmp_path) == []
    assert envport_containers(engine, again.run_id) == []
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_server_that_is_killed_comes_back_at_the_same_url_and_goes_on_with_its_rollouts(tiny, container):
    begin_rollout(tiny, "killed")
    code = """
import signal
servers = []
for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
    if pid not in (1, os.getpid()):
        if b"serve" in open(f"/proc/{pid}/cmdline", "rb").read().split(b"\\0"):
            servers.append(pid)
print(json.dumps(servers), flush=True)
for pid in servers:
    os.kill(pid, signal.SIGKILL)
"""
    container.exec_run(["python", "-c", f"import json, os\n{code}"])
    deadline = time.monotonic() + 60
    restarts, ready = 0, False
    while time.monotonic() < deadline and not (restarts and ready):
        container.reload()
        restarts = container.attrs["RestartCount"]
        try:
            ready = httpx.get(f"{tiny.url}/readyz", timeout=5, trust_env=False).status_code == 200
        except httpx.HTTPError:
            ready = False
        time.sleep(0.1)
    assert (restarts, ready) == (1, True)
    assert post(tiny, "start_rollout", {"rollout_id": "after", "split": "train", "index": 0})["outcome"] == "ok"
    finish_rollout(tiny, "killed")


def begin_rollout(run: Running, rollout_id: str) -> None:
    post(run, "start_rollout", {"rollout_id": rollout_id, "split": "eval", "index": 1})
    call = {"rollout_id": rollout_id, "call_id": "c1", "tool_name": "backwards", "arguments": {"word": "stone"}}
    assert post(run, "run_tool", call)["content"] == [{"type": "text", "text": "enots"}]


def finish_rollout(run: Running, rollout_id: str) -> None:
    """Repeats its call, makes another, and is scored."""
    call = {"rollout_id": rollout_id, "call_id": "c1", "tool_name": "backwards", "arguments": {"word": "stone"}}
    assert post(run, "run_tool", call)["content"] == [{"type": "text", "text": "enots"}]
    more = {**call, "call_id": "c2", "arguments": {"word": "river"}}
    assert post(run, "run_tool", more)["content"] == [{"type": "text", "text": "revir"}]
    assert post(run, "compute_reward", {"rollout_id": rollout_id, "completion": "enots"})["reward"] == 1.0
    post(run, "end_rollout", {"rollout_id": rollout_id})


def test_a_container_that_is_killed_and_started_by_hand_is_back_with_its_rollouts(tiny, container, shared_home):
    begin_rollout(tiny, "by-hand")
    container.kill()
    assert (tiny, Status.EXITED) in ps(shared_home)
    container.start()
    wait_until_ready(tiny.url, lambda: None, 60, lambda _: None)
    assert (tiny, Status.READY) in ps(shared_home)
    finish_rollout(tiny, "by-hand")


def test_tokens_are_asked_for_and_stand_in_no_argument_no_label_no_file_and_no_log(tiny, base_image, engine, tmp_path):
    token = "t" * 32
    tokens = {"ENVPORT_TRAINER_TOKEN": token}
    running = run(TINY_ENV, home=tmp_path, runtime="docker", base_image=base_image, tokens=tokens)
    try:
        tasks = f"{running.url}/v1/tasks?split=train"
        assert httpx.get(tasks, timeout=30, trust_env=False).status_code == 401
        trainer = {"Authorization": f"Bearer {token}"}
        assert httpx.get(tasks, headers=trainer, timeout=30, trust_env=False).status_code == 200
        container = engine.containers.get(running.container)
        written = [path.read_text() for path in (tmp_path / "runs").rglob("*") if path.is_file()]
        written += [*logs(running.run_id, home=tmp_path), *container.attrs["Config"]["Cmd"], *container.labels.values()]
        assert len(written) > 10
        assert [text for text in written if token in text] == []
    finally:
        stop(running.run_id, home=tmp_path)


def test_the_image_by_itself_serves_others_with_tokens_only(tiny, engine):
    refused = engine.containers.run(tiny.image, detach=True, read_only=True)
    status, told = refused.wait(timeout=60)["StatusCode"], refused.logs(stdout=False).decode()
    refused.remove(v=True)
    assert status == 1
    assert "error: other machines can reach 0.0.0.0, and no token is set: " in told
    assert "Set ENVPORT_TRAINER_TOKEN" in told
    container = engine.containers.run(
        tiny.image,
        detach=True,
        read_only=True,
        tmpfs={"/tmp": ""},
        environment={"ENVPORT_TRAINER_TOKEN": "t" * 32},
        ports={"8000/tcp": ("127.0.0.1", 0)},
    )
    try:
        container.reload()
        url = f"http://127.0.0.1:{container.ports['8000/tcp'][0]['HostPort']}"
        wait_until_ready(url, lambda: None, 60, lambda _: None)
        assert httpx.get(f"{url}/v1/tasks?split=train", timeout=30, trust_env=False).status_code == 401
        assert inside(container, 'print(json.dumps(os.listdir("/var/lib/envport/journals")))') == ["tiny-0.0.0.0-8000"]
    finally:
        container.remove(force=True, v=True)


def test_a_container_that_somebody_removed_is_gone_and_can_be_stopped(tiny, base_image, engine, tmp_path):
    running = run(TINY_ENV, home=tmp_path, runtime="docker", base_image=base_image, name="removed")
    engine.containers.get(running.container).remove(force=True)
    assert len(envport_volumes(engine, "removed")) == 1
    assert ps(tmp_path) == [(running, Status.GONE)]
    assert list(logs("removed", home=tmp_path)) == []
    assert stop("removed", home=tmp_path) == running
    assert envport_volumes(engine, "removed") == []
    assert ps(tmp_path) == []


class KilledError(BaseException):
    """Stands for SIGKILL: after it nothing of the start runs."""


@pytest.mark.parametrize("where", ["before", "after"], ids=["before its id was saved", "after it was saved"])
def test_the_container_of_a_start_that_is_killed_is_listed_and_removed_by_stop(
    tiny, base_image, engine, tmp_path, monkeypatch, where
):
    def killed(*_: object) -> None:
        raise KilledError

    def save_once(store: RunStore, state: Running, save=RunStore.save) -> None:
        if where == "before" and state.container is not None:
            raise KilledError
        save(store, state)

    with monkeypatch.context() as patch:
        patch.setattr("envport_registry.runner.docker.wait_until_ready", killed)
        patch.setattr(DockerRuntime, "_remove", killed)
        patch.setattr(DockerRuntime, "_remove_volumes", killed)
        patch.setattr(RunStore, "save", save_once)
        patch.setattr(RunStore, "remove", lambda *_: None)
        with pytest.raises(KilledError):
            run(TINY_ENV, home=tmp_path, runtime="docker", base_image=base_image, name="killed")
    (container,) = envport_containers(engine, "killed")
    ((left, status),) = ps(tmp_path)
    assert (left.run_id, left.starting, status) == ("killed", True, Status.STARTING)
    assert left.container == (None if where == "before" else container.id)
    assert stop("killed", home=tmp_path) == left
    assert envport_containers(engine, "killed") == []
    assert envport_volumes(engine, "killed") == []
    assert list((tmp_path / "runs").iterdir()) == []


def test_an_environment_that_fails_to_start_shows_its_log_and_leaves_nothing(tiny, base_image, engine, tmp_path):
    with pytest.raises(StartFailedError) as caught:
        run(TINY_ENV, home=tmp_path, runtime="docker", base_image=base_image, options={"fail": True}, name="failing")
    assert "exited with status 1 before it was ready" in str(caught.value)
    assert "this environment was told to fail" in "\n".join(caught.value.log)
    assert envport_containers(engine, "failing") == []
    assert envport_volumes(engine, "failing") == []
    assert list((tmp_path / "runs").iterdir()) == []


def test_an_environment_that_needs_more_memory_than_its_limit_is_told_so(tiny, base_image, engine, tmp_path):
    options = {"hoard_mb": 400}
    with pytest.raises(StartFailedError, match=r"needed more than the 192 MB of memory that \[resources\] allows"):
        run(TINY_ENV, home=tmp_path, runtime="docker", base_image=base_image, options=options, name="hoarding")
    assert envport_containers(engine, "hoarding") == []


def test_a_base_image_that_cannot_be_had_is_told_with_the_ways_out(engine, tmp_path):
    with pytest.raises(BaseImageError) as caught:
        run(TINY_ENV, home=tmp_path, runtime="docker", base_image="127.0.0.1:1/nothing:1", name="baseless")
    message = str(caught.value)
    assert message.startswith("the base image '127.0.0.1:1/nothing:1' is not on this machine and cannot be pulled (")
    assert message.endswith("by --base-image or ENVPORT_BASE_IMAGE, or run without Docker by --runtime process")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_failed_build_shows_its_last_lines_and_tags_nothing(tiny, tiny_env, base_image, engine, tmp_path):
    (tiny_env / "envport.toml").write_text((TINY_ENV / "envport.toml").read_text().replace('"tiny"', '"unbuildable"'))
    (tiny_env / "pyproject.toml").write_text("this is no TOML")
    with pytest.raises(BuildFailedError) as caught:
        run(tiny_env, home=tmp_path, runtime="docker", base_image=base_image)
    assert str(caught.value).startswith("the image of unbuildable was not built: ")
    assert any("pyproject.toml" in line for line in caught.value.log)
    assert engine.images.list("envport/unbuildable") == []
    assert list((tmp_path / "runs").iterdir()) == []


def with_build_code(folder: Path, code: str) -> Path:
    """Gives the environment a build backend of its own, which needs nothing to be fetched."""
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "own_build"\nbackend-path = ["."]\n'
    )
    (folder / "own_build.py").write_text(f"import os, pathlib\n\n\n{code}")
    return folder


def test_build_code_has_no_rights_beyond_the_virtual_environment(tiny, tiny_env, base_image, tmp_path):
    code = """
def attempt(path):
    try:
        open(path, "a").close()
    except OSError as error:
        return error.strerror
    return "written"


def get_requires_for_build_wheel(settings=None):
    limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
    memory = next(open(path).read().strip() for path in limits if os.path.exists(path))
    tried = ["/app/env/tiny_env.py", "/app/env/new", "/opt/wheels/new", "/etc/passwd", "/opt/envport/new"]
    raise RuntimeError(f"uid {os.getuid()}, memory {memory}, {[attempt(path) for path in tried]}")
"""
    with pytest.raises(BuildFailedError) as caught:
        run(with_build_code(tiny_env, code), home=tmp_path, runtime="docker", base_image=base_image)
    (told,) = [text for line in caught.value.log if (text := line.strip()).startswith("RuntimeError: ")]
    refused = ["Permission denied"] * 4
    assert told == f"RuntimeError: uid 10001, memory {4 * 2**30}, {[*refused, 'written']}"


def test_an_environment_that_would_replace_envport_is_not_built(tiny, tiny_env, base_image, tmp_path):
    code = """
def prepare_metadata_for_build_wheel(folder, settings=None):
    info = pathlib.Path(folder, "envport-99.dist-info")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: envport\\nVersion: 99\\n")
    return info.name
"""
    with pytest.raises(BuildFailedError) as caught:
        run(with_build_code(tiny_env, code), home=tmp_path, runtime="docker", base_image=base_image)
    assert any("ResolutionImpossible" in line for line in caught.value.log)


def test_a_port_in_use_is_refused(tiny, base_image, engine, tmp_path):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port} on 127.0.0.1 is in use"):
            run(TINY_ENV, home=tmp_path, runtime="docker", base_image=base_image, port=port, name="crowded")
    assert envport_containers(engine, "crowded") == []


def test_a_port_taken_behind_our_back_is_refused_and_the_container_removed(
    tiny, base_image, engine, tmp_path, monkeypatch
):
    taken = int(tiny.url.rpartition(":")[2])
    for module in ("docker", "runs"):
        monkeypatch.setattr(f"envport_registry.runner.{module}.choose_port", lambda asked: asked)
    with pytest.raises(PortTakenError, match=f"port {taken} on 127.0.0.1 is in use"):
        run(TINY_ENV, home=tmp_path, runtime="docker", base_image=base_image, port=taken, name="crowded")
    assert envport_containers(engine, "crowded") == []


def test_a_name_that_another_home_uses_is_refused_and_its_container_left_alone(
    tiny, base_image, engine, shared_home, tmp_path
):
    with pytest.raises(RunExistsError, match="choose another --name"):
        run(TINY_ENV, home=tmp_path, runtime="docker", base_image=base_image, name=tiny.run_id)
    assert (tiny, Status.READY) in ps(shared_home)


def test_runs_of_a_silent_engine_are_listed_as_unknown_and_kept(tiny, shared_home, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert (tiny, Status.UNKNOWN) in ps(shared_home)
    with pytest.raises(NoEngineError):
        stop(tiny.run_id, home=shared_home)
    assert (tiny, Status.UNKNOWN) in ps(shared_home)
