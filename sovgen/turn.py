"""Turn: one process at a time draws on a device; the others stand in line.

Two that draw at once on one GPU or one CPU are slower than one after the other, and may not fit
together. A lock falls with the process that held it. Within a process nobody waits: whoever calls
puts its own threads in order. Knows nothing of what is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from index.hashes import cache_folder

OnNotice = Callable[[str], None]

# Long enough for whoever is only passing through the door.
_AT_ONCE_S = 0.2
_POLL_S = 0.05


@contextmanager
def turn(device: str, on_notice: OnNotice | None = None) -> Iterator[None]:
    """Wait until no other process draws on the device, and hold it.

    device: as torch names it; `cuda` is `cuda:0`
    on_notice: told, in one line, that there is somebody to wait for
    """
    name = _name(device)
    with taken(_place(name), f"is drawing on {name}", on_notice):
        yield


def is_wanted(device: str) -> bool:
    """Whether another process waits for the device that this one holds: it stands in the door."""
    door = FileLock(str(_place(_name(device)).with_suffix(".door")), mode=0o600)
    try:
        with door.acquire(timeout=0):
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False


def _name(device: str) -> str:
    return device if device == "cpu" or ":" in device else f"{device}:0"


def _place(name: str) -> Path:
    return cache_folder() / "turns" / name.replace(":", "-")


@contextmanager
def taken(place: Path, what: str, on_notice: OnNotice | None = None) -> Iterator[None]:
    """Hold a place that one process at a time may have; `what` says what whoever has it does.

    Where no lock can be had, such as in a cache that cannot be written, nobody waits.
    """
    tell = on_notice or (lambda _: None)
    with ExitStack() as held:
        try:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            room, door = _lock(place.with_suffix(".room")), _lock(place.with_suffix(".door"))
            if room.is_locked:  # by this process, so that this counts once more
                room.acquire()
            else:
                _enter(door, room, lambda: tell(f"Waiting: another run {what}."))
            held.callback(room.release)
        except (OSError, NotImplementedError) as error:
            tell(f"Runs beside this one are not waited for: {error}.")
        yield


@contextmanager
def where_free(place: Path) -> Iterator[bool]:
    """Hold a place if nobody has it; gives whether that is so. Nobody is waited for.

    A place that nobody ever had is free, and no file is made for it.
    """
    with ExitStack() as held:
        yield not place.with_suffix(".room").exists() or _held_at_once(place, held)


def _held_at_once(place: Path, held: ExitStack) -> bool:
    """False too where no lock can be had: then nobody knows."""
    room = _lock(place.with_suffix(".room"))
    try:
        if not room.is_locked:  # else by this process
            room.acquire(timeout=0)
            held.callback(room.release)
            return True
    except (Timeout, OSError, NotImplementedError):
        pass
    return False


def _enter(door: FileLock, room: FileLock, tell: Callable[[], None]) -> None:
    """Whoever waits stands in the door, so that the one before cannot come round to be first."""
    waits = _acquire(door, tell)
    try:
        _acquire(room, (lambda: None) if waits else tell)
    finally:
        door.release()


def _acquire(lock: FileLock, tell: Callable[[], None]) -> bool:
    """Whether it had to be waited for."""
    try:
        lock.acquire(timeout=_AT_ONCE_S, poll_interval=_POLL_S)
    except Timeout:
        tell()
        lock.acquire(poll_interval=_POLL_S)
        return True
    return False


def _lock(path: Path) -> FileLock:
    return FileLock(
        str(path), mode=0o600, thread_local=False, is_singleton=True, fallback_to_soft=False
    )
