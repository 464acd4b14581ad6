"""The guard that keeps everything on this machine.

Environment switches turn off the network and the telemetry of every library that has such a
switch; they must be set before those libraries are imported, and every child process inherits
them. Then an audit hook sees each connection and each name look-up that Python code makes in this
process, whichever library asked, and refuses all that goes beyond loopback. CPython resolves a
name that is given to `connect`, `sendto`, `sendmsg` or `bind` before it raises the audit event, so
those methods are checked once more, in front of the look-up.

An audit hook sees neither native code nor other processes: for native code the switches are the
layer, and every Python child that sovgen starts calls `go_offline` first. This file knows nothing
of models, libraries of pictures or the command line.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from ipaddress import IPv4Address, IPv6Address, ip_address

from sovgen.errors import NetworkRefused

HUB_OFF = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_EVALUATE_OFFLINE": "1",
}
TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_HUB_DISABLE_XET": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "WANDB_MODE": "disabled",
    "WANDB_DISABLED": "true",
    "COMET_MODE": "DISABLED",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "NO_ALBUMENTATIONS_UPDATE": "1",
}

_Args = tuple[object, ...]
_lifted: ContextVar[bool] = ContextVar("sovgen_network_lifted", default=False)
_installed = False


def go_offline() -> None:
    """Set every switch and install the audit hook; calling it again changes nothing.

    From here on Python code in this process that connects, sends or looks a name up beyond
    loopback gets NetworkRefused. The hook cannot be removed, only lifted by `online`.
    """
    global _installed
    os.environ.update(HUB_OFF)
    os.environ.update(TELEMETRY_OFF)
    if not _installed:
        sys.addaudithook(_refuse)
        for name, address_of in _RESOLVING.items():
            _check_first(name, address_of)
        _installed = True


def hold_reports_back() -> None:
    """Let OpenVINO not find what it reports with, where it is not yet imported.

    It would tell its makers of each import and each conversion, from a process of its own that no
    hook sees, and has no switch but a file in the home folder. Without the package it is silent.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def is_guarded() -> bool:
    """Whether the hook stands in this process and is not lifted here."""
    return _installed and not _lifted.get()


@contextmanager
def online() -> Iterator[None]:
    """Let this thread, and no other, reach the network; telemetry stays off.

    Fetching a model by name is its only use. The switches of the hub's libraries are read when
    those are imported, so import them inside.
    """
    before = {name: os.environ.pop(name, None) for name in HUB_OFF}
    token = _lifted.set(True)
    try:
        yield
    finally:
        _lifted.reset(token)
        os.environ.update({name: value for name, value in before.items() if value is not None})


def _refuse(event: str, args: _Args) -> None:
    """The audit hook: runs at every event of the interpreter, so it decides by one look-up."""
    reached = _REACHED.get(event)
    if reached is None or _lifted.get():
        return
    target = reached(args)
    if target is not None:
        raise NetworkRefused(
            f"Refused to reach {target}: {event.split('.')[1]} called by {_caller()}.",
            "Nothing leaves this machine; give a local folder or file instead.",
        )


def _check_first(name: str, address_of: Callable[[_Args], object]) -> None:
    """Make a method of every socket ask the hook before it resolves the address it was given."""
    original = getattr(socket.socket, name)

    @wraps(original)
    def checked(self: socket.socket, *args: object) -> object:
        _refuse(f"sovgen.{name}", (self, address_of(args)))
        return original(self, *args)

    setattr(socket.socket, name, checked)


def _peer(args: _Args) -> str | None:
    """The address beyond this machine that a socket was asked to reach, or None."""
    family, address = getattr(args[0], "family", None), args[1]
    if address is None or family == getattr(socket, "AF_UNIX", None):
        return None
    if family not in (socket.AF_INET, socket.AF_INET6):
        return f"an address of family {getattr(family, 'name', family)}"
    return _host((address,))


def _bound(args: _Args) -> str | None:
    """The name that a bind would look up, or None where there is nothing to look up."""
    host = args[1][0] if isinstance(args[1], tuple) and args[1] else None
    is_name = isinstance(host, (str, bytes)) and host and not _address(_text(host))
    return _peer(args) if is_name else None


def _host(args: _Args) -> str | None:
    """The host that a look-up names, or None when it is this machine itself."""
    host = args[0]
    if isinstance(host, tuple) and host:
        host = host[0]
    if host is None or _is_loopback(_text(host)):
        return None
    return repr(_text(host))


def _text(host: object) -> str:
    return bytes(host).decode("latin-1") if isinstance(host, (bytes, bytearray)) else str(host)


def _is_loopback(name: str) -> bool:
    """True for localhost, 127.0.0.0/8 and ::1, written as they are or mapped into IPv6."""
    if name.lower() == "localhost":
        return True
    address = _address(name)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped.is_loopback
    return address is not None and address.is_loopback


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


def _caller() -> str:
    """`module:function` of the innermost frame that is neither this file nor the stdlib."""
    frame = sys._getframe(1)
    while frame is not None:
        if not _is_plumbing(frame.f_code.co_filename):
            return f"{frame.f_globals.get('__name__', '?')}:{frame.f_code.co_qualname}"
        frame = frame.f_back  # type: ignore[assignment]
    return "the interpreter"


def _is_plumbing(filename: str) -> bool:
    if filename == __file__ or filename.startswith("<frozen "):
        return True
    stdlib = os.path.dirname(os.__file__)
    return filename.startswith(stdlib + os.sep) and "site-packages" not in filename


_REACHED: dict[str, Callable[[_Args], str | None]] = {
    "socket.connect": _peer,
    "socket.sendto": _peer,
    "socket.sendmsg": _peer,
    "socket.getaddrinfo": _host,
    "socket.gethostbyname": _host,
    "socket.gethostbyaddr": _host,
    "socket.getnameinfo": _host,
    "sovgen.connect": _peer,
    "sovgen.connect_ex": _peer,
    "sovgen.sendto": _peer,
    "sovgen.sendmsg": _peer,
    "sovgen.bind": _bound,
}
_RESOLVING: dict[str, Callable[[_Args], object]] = {
    "connect": lambda args: args[0] if args else None,
    "connect_ex": lambda args: args[0] if args else None,
    "sendto": lambda args: args[-1] if args else None,
    "sendmsg": lambda args: args[3] if len(args) > 3 else None,
    "bind": lambda args: args[0] if args else None,
}
