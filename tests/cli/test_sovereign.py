"""Nothing leaves the machine: the main job without a network, and watched by strace."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

# Each of them would carry something out; sendmmsg is what the C library asks name servers with.
WATCHED = "trace=connect,sendto,sendmsg,sendmmsg"
MAIN_JOB = """
set -e
"$PYTHON" -m sovgen generate "a red apple" --seed 3 --steps 2 --json
"$PYTHON" -m sovgen search fruit --all --json
"$PYTHON" -m sovgen export --search fruit --all --to "$OUT" --metadata none
"""


def main_job(prefix: list[str], environ: dict[str, str], folder: Path) -> str:
    """Run the main job in a new library, under another program; gives its stdout."""
    ours = {"PYTHON": sys.executable, "OUT": str(folder / "out")}
    env = environ | ours | {"SOVGEN_LIBRARY": str(folder / "library")}
    command = [*prefix, "bash", "-c", MAIN_JOB]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def strace(log: Path) -> list[str]:
    return ["strace", "-f", "--seccomp-bpf", "-qq", "-e", WATCHED, "-o", str(log)]


def test_main_job_runs_where_no_interface_is_up(environ: dict[str, str], tmp_path: Path) -> None:
    out = main_job(["unshare", "--net"], environ, tmp_path)
    made, rest = json.JSONDecoder().raw_decode(out)
    found = json.loads(out[rest:])
    assert [e["id"] for e in found] == [e["id"] for e in made]
    assert list((tmp_path / "out").rglob("*.png"))


def test_no_system_call_reaches_for_an_internet_address(
    environ: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "calls"
    main_job(strace(log), environ, tmp_path)
    assert [line for line in log.read_text().splitlines() if "AF_INET" in line] == []


def test_strace_would_have_seen_it(tmp_path: Path) -> None:
    log = tmp_path / "calls"
    code = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
    subprocess.run([*strace(log), sys.executable, "-c", code], check=True)
    assert "AF_INET" in log.read_text()


def test_what_the_guard_refuses_never_becomes_a_system_call(tmp_path: Path) -> None:
    log = tmp_path / "calls"
    code = (
        "import sovgen.__main__, socket\n"
        "for host in ('192.0.2.1', 'example.invalid'):\n"
        "    try: socket.socket().connect((host, 9))\n"
        "    except Exception as error: print(type(error).__name__)"
    )
    command = [*strace(log), sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "NetworkRefused\n" * 2
    assert "AF_INET" not in log.read_text()
