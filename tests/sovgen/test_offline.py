"""The guard refuses every call that Python code can use to leave the machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from sovgen.errors import NetworkRefused
from sovgen.offline import HUB_OFF, TELEMETRY_OFF, go_offline, is_guarded, online

# Addresses set apart for documentation (RFC 5737, RFC 3849): none of them belongs to anybody.
FAR, FAR6, NAME = "192.0.2.1", "2001:db8::1", "example.invalid"


@pytest.fixture(autouse=True)
def guarded() -> None:
    go_offline()


def tcp(family: int = socket.AF_INET) -> socket.socket:
    return socket.socket(family, socket.SOCK_STREAM)


def udp(family: int = socket.AF_INET) -> socket.socket:
    return socket.socket(family, socket.SOCK_DGRAM)


ATTEMPTS: dict[str, Callable[[], object]] = {
    "connect": lambda: tcp().connect((FAR, 9)),
    "connect_ex": lambda: tcp().connect_ex((FAR, 9)),
    "connect by name": lambda: tcp().connect((NAME, 9)),
    "connect by bytes": lambda: tcp().connect((FAR.encode(), 9)),
    "connect over IPv6": lambda: tcp(socket.AF_INET6).connect((FAR6, 9)),
    "connect to any": lambda: tcp().connect(("0.0.0.0", 9)),
    "connect to a mapped address": lambda: tcp(socket.AF_INET6).connect((f"::ffff:{FAR}", 9)),
    "connect a datagram socket": lambda: udp().connect((FAR, 9)),
    "create_connection": lambda: socket.create_connection((FAR, 9)),
    "sendto": lambda: udp().sendto(b"x", (FAR, 9)),
    "sendto over IPv6": lambda: udp(socket.AF_INET6).sendto(b"x", (FAR6, 9)),
    "sendmsg": lambda: udp().sendmsg([b"x"], [], 0, (FAR, 9)),
    "sendto by name": lambda: udp().sendto(b"x", 0, (NAME, 9)),
    "sendmsg by name": lambda: udp().sendmsg([b"x"], [], 0, (NAME, 9)),
    "bind by name": lambda: tcp().bind((NAME, 0)),
    "getaddrinfo": lambda: socket.getaddrinfo(NAME, 80),
    "getaddrinfo of bytes": lambda: socket.getaddrinfo(NAME.encode(), 80),
    "gethostbyname": lambda: socket.gethostbyname(NAME),
    "gethostbyname_ex": lambda: socket.gethostbyname_ex(NAME),
    "gethostbyaddr": lambda: socket.gethostbyaddr(FAR),
    "getnameinfo": lambda: socket.getnameinfo((FAR, 80), 0),
    "getfqdn": lambda: socket.getfqdn(NAME),
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_every_way_out_is_refused(attempt: Callable[[], object]) -> None:
    with pytest.raises(NetworkRefused, match="test_offline") as refused:
        attempt()
    assert refused.value.hint


def test_families_that_are_not_known_to_be_local_are_refused() -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as sock:
        with pytest.raises(NetworkRefused, match="AF_NETLINK"):
            sock.connect((0, 0))


def test_the_error_names_the_first_caller_outside_the_standard_library() -> None:
    import urllib.request

    def telemetry() -> None:
        urllib.request.urlopen("http://example.invalid/ping")

    with pytest.raises(NetworkRefused, match=r"tests\.sovgen\.test_offline:.*telemetry") as refused:
        telemetry()
    assert "'example.invalid'" in refused.value.message


@pytest.mark.parametrize("family,host", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_loopback_works(family: int, host: str) -> None:
    with socket.create_server((host, 0), family=family) as server:
        port = server.getsockname()[1]
        with socket.create_connection((host, port)) as client, server.accept()[0] as peer:
            client.sendall(b"hello")
            client.sendmsg([b"!"])
            client.shutdown(socket.SHUT_WR)
            assert peer.makefile("rb").read() == b"hello!"
    assert socket.getaddrinfo("localhost", port)
    assert socket.gethostbyname("127.0.0.9") == "127.0.0.9"


def test_unix_sockets_and_datagrams_within_the_machine_work(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = str(tmp_path_factory.mktemp("s") / "s")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)
    with udp() as sender, udp() as receiver:
        receiver.bind(("", 0))
        sender.sendto(b"x", ("localhost", receiver.getsockname()[1]))
        assert receiver.recv(1) == b"x"


def test_lifting_holds_in_one_thread_and_ends() -> None:
    elsewhere: list[BaseException] = []

    def reach() -> None:
        try:
            socket.getaddrinfo(NAME, 80)
        except Exception as error:
            elsewhere.append(error)

    with online():
        assert not is_guarded()
        assert "HF_HUB_OFFLINE" not in os.environ
        assert os.environ["DO_NOT_TRACK"] == "1"
        with udp() as sock:
            sock.settimeout(0)
            assert sock.connect_ex((FAR, 9)) is not None
        thread = threading.Thread(target=reach)
        thread.start()
        thread.join()
    assert isinstance(elsewhere[0], NetworkRefused)
    assert is_guarded()
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    with pytest.raises(NetworkRefused):
        socket.getaddrinfo(NAME, 80)


def test_switches_are_set_over_what_a_person_set_and_reach_children() -> None:
    code = (
        "import sovgen.__main__, subprocess, sys, json, os;"
        "sys.stdout.write(subprocess.run([sys.executable, '-c', 'import os, json;"
        "print(json.dumps(dict(os.environ)))'], capture_output=True, text=True).stdout)"
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "0", "RAY_USAGE_STATS_ENABLED": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    seen = json.loads(done.stdout)
    assert {name: seen[name] for name in HUB_OFF | TELEMETRY_OFF} == HUB_OFF | TELEMETRY_OFF


def test_the_libraries_read_the_switches() -> None:
    code = (
        "import sovgen.__main__; from huggingface_hub import constants as c;"
        "print(c.HF_HUB_OFFLINE, c.HF_HUB_DISABLE_TELEMETRY, c.HF_HUB_DISABLE_XET)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True", "True"], done.stderr


def test_a_spawned_child_of_the_program_is_guarded_too(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    script = tmp_path_factory.mktemp("script") / "sovgen"
    script.write_text(
        "from sovgen.__main__ import main\n"
        "import multiprocessing, sovgen.offline\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.apply(sovgen.offline.is_guarded))\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, script], env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr
