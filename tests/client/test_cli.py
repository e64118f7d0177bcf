"""The command line's frame: fast to start, and every foreseen failure is one line."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest
import typer
from envport.cli.boundary import exit_code_of
from envport.cli.extras import MissingExtraError, require
from envport.cli.output import print_json, print_table, printable
from envport.cli.serve import parse_options
from envport_protocol.errors import EnvportError

HEAVY = {"torch", "transformers", "vllm", "numpy", "fastapi", "uvicorn", "sqlalchemy", "docker", "aiohttp"}


def envport_command(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "envport", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def raising(error: BaseException):
    def command() -> None:
        raise error

    return command


def test_help_lists_the_commands():
    done = envport_command("--help")
    assert (done.returncode, done.stderr) == (0, "")
    shown = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("│ ") and line[2].islower()}
    hub = {"hub", "publish", "search", "info", "pull", "run", "ps", "logs", "stop"}
    assert shown == hub | {"serve", "check", "train", "eval", "report", "rollouts", "export"}


def test_the_version_is_printed():
    import envport

    assert envport_command("--version").stdout == f"envport {envport.__version__}\n"


def test_help_imports_nothing_heavy():
    script = (
        "import sys\n"
        "from envport.cli import main\n"
        "sys.argv = ['envport', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        f"    heavy = {HEAVY}\n"
        "    print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stderr == "[]\n"


def test_a_command_that_does_not_exist_is_a_usage_error():
    done = envport_command("frobnicate")
    assert done.returncode == 2
    assert "frobnicate" in done.stderr
    assert done.stdout == ""


def test_a_foreseen_error_is_one_line_and_exit_code_1(capsys):
    assert exit_code_of(raising(EnvportError("no such thing\n  as \x1b[31mthis\n"))) == 1
    assert capsys.readouterr() == ("", "error: no such thing as  [31mthis\n")


def test_ctrl_c_is_one_short_line_and_130(capsys):
    assert exit_code_of(raising(KeyboardInterrupt())) == 130
    assert exit_code_of(raising(SystemExit(130))) == 130
    assert capsys.readouterr() == ("", "interrupted\ninterrupted\n")


@pytest.mark.parametrize(("code", "exit_code"), [(None, 0), (0, 0), (2, 2)])
def test_an_exit_keeps_its_code(code, exit_code, capsys):
    assert exit_code_of(raising(SystemExit(code))) == exit_code
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_says_what_to_do(number, capsys):
    assert exit_code_of(raising(OSError(number, os.strerror(number), "bundle.tar"))) == 1
    assert capsys.readouterr().err == (
        "error: no space left on the disk: bundle.tar; free some space and run the same command again\n"
    )


def test_another_error_of_the_system_names_the_file(capsys):
    assert exit_code_of(raising(PermissionError(errno.EACCES, "Permission denied", "key"))) == 1
    assert capsys.readouterr().err == "error: Permission denied: key\n"


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        exit_code_of(raising(ZeroDivisionError()))


def test_a_reader_that_leaves_is_no_error():
    script = "from envport.cli.boundary import exit_code_of; exit_code_of(lambda: print('x' * 100_000))"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == ""
        assert child.wait(60) == 0


def test_a_missing_extra_says_what_to_install():
    with pytest.raises(MissingExtraError) as caught:
        require("no_such_package.part", "docker")
    assert str(caught.value) == (
        "this command needs the package 'no_such_package', which is not installed: pip install 'envport[docker]'"
    )


def test_a_missing_module_of_our_own_is_a_bug_and_no_extra():
    with pytest.raises(ModuleNotFoundError, match=r"envport\.no_such_part"):
        require("envport.no_such_part", "docker")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_waits_until_a_package_is_whole_and_is_not_lost_in_it(tmp_path, monkeypatch, name):
    monkeypatch.syspath_prepend(tmp_path)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    # As native code does that imports another package: an exception on the way is dropped.
    (tmp_path / f"native_{name}.py").write_text(
        f"import signal\ntry:\n    signal.raise_signal(signal.{name})\n    whole = True\n"
        "except BaseException:\n    pass\n"
    )
    try:
        with pytest.raises(KeyboardInterrupt):
            require(f"native_{name}", "train")
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert sys.modules[f"native_{name}"].whole is True


def test_a_second_interrupt_does_not_wait(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "slow_package.py").write_text(
        "import signal\nfor _ in range(2):\n    signal.raise_signal(signal.SIGINT)\nnever = True\n"
    )
    with pytest.raises(KeyboardInterrupt):
        require("slow_package", "train")
    assert "slow_package" not in sys.modules


def test_a_signal_that_is_ignored_stays_ignored(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "package_under_nohup.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        require("package_under_nohup", "train")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_options_are_json_or_else_text():
    assert parse_options(["n=3", "on=true", "path=a=b.jsonl", "none=null", 'list=["x"]', "empty="]) == {
        "n": 3,
        "on": True,
        "path": "a=b.jsonl",
        "none": None,
        "list": ["x"],
        "empty": "",
    }


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (["n"], "got 'n', expected KEY=VALUE"),
        (["=3"], "got '=3', expected KEY=VALUE"),
        (["a-b=3"], "got 'a-b=3', expected KEY=VALUE"),
        (["n=1", "n=2"], "'n' was given twice"),
    ],
)
def test_an_option_that_is_no_pair_is_a_usage_error(pairs, said):
    with pytest.raises(typer.BadParameter, match=said):
        parse_options(pairs)


def test_tables_line_up_and_show_nothing_as_a_dash(capsys):
    print_table(["NAME", "SIZE"], [["a", 10], ["longer\x07", None]])
    print_table(["NAME"], [], empty="no environments")
    assert capsys.readouterr().out == "NAME    SIZE\na       10\nlonger  -\nno environments\n"


def test_json_is_one_document_in_the_order_given(capsys):
    print_json({"b": 1, "a": [None, "é"]})
    assert capsys.readouterr().out == '{\n  "b": 1,\n  "a": [\n    null,\n    "é"\n  ]\n}\n'


def test_control_characters_do_not_reach_the_terminal():
    assert printable("a\x1b]0;title\x07b\r\n") == "a ]0;title b"


def test_a_wrong_choice_is_told_in_the_command_lines_own_words():
    done = envport_command("run", "--runtime", "podman", "a/b")
    said = " ".join(done.stderr.replace("│", " ").split())
    assert done.returncode == 2
    assert "Invalid value for '--runtime': 'podman' is not one of 'auto', 'docker', 'process'." in said
