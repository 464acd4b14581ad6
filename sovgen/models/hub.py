"""Hub: a model is fetched by name, the only thing that sovgen ever does online.

Speaks with `HF_ENDPOINT`, else the Hugging Face hub, through huggingface_hub's own parts; files
come one after another over plain HTTP, in this thread, where the guard is lifted. What was fetched
stays when it is cut off, and the next run goes on behind it. Nothing counts as a model before every
checksum agrees. A token is sent only when the variable HF_TOKEN holds one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from sovgen.errors import HubUnreachable, ModelDamaged, ModelMissing, first_line
from sovgen.models.folder import read_json
from sovgen.models.progress import OnProgress
from sovgen.models.wanted import ANY, INDEX, Choice, Remote, wanted_files
from sovgen.offline import online

_CHUNK = 1 << 18


def fetch_model(
    repo: str,
    into: Path,
    *,
    revision: str | None = None,
    choice: Choice = ANY,
    on_progress: OnProgress = lambda done, total: None,
) -> dict[Path, str | None]:
    """Fetch a repository's model into a folder; the files, each checked.

    Of a large file the sha256 that the hub gives comes with it; git's sums of small ones do not.

    choice: which of several files or variants; on_progress: called as on_progress(bytes so far,
        bytes in all)
    Raises ModelMissing for a repository or revision that is not there or closed, HubUnreachable
    when the network fails, UnsafeWeights, ModelUnsupported, and ModelDamaged for a wrong checksum.
    """
    with online(), _errors_told(repo, into):
        api = _api()
        about = api.model_info(repo, revision=revision, files_metadata=True)
        files = [_remote(sibling) for sibling in about.siblings or []]
        commit, index = str(about.sha), None
        if choice.file is None and any(file.name == INDEX for file in files):
            [first] = [file for file in files if file.name == INDEX]
            index = read_json(_fetch(api, repo, commit, first, into))
        wanted = wanted_files(repo, files, index, choice)
        total, done = sum(file.size for file in wanted), 0
        for file in wanted:
            _fetch(api, repo, commit, file, into, partial(_tell, on_progress, done, total))
            done += file.size
            on_progress(done, total)
    return {into / file.name: file.sha256 for file in wanted}


def _tell(on_progress: OnProgress, before: int, total: int, done: int) -> None:
    on_progress(before + done, total)


def endpoint() -> str:
    """Where models are fetched from."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _api() -> Any:  # noqa: ANN401
    from huggingface_hub import HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    return HfApi(
        endpoint=endpoint(), token=os.environ.get("HF_TOKEN") or False, library_name="sovgen"
    )


def _remote(sibling: Any) -> Remote:  # noqa: ANN401
    lfs = sibling.lfs
    return Remote(sibling.rfilename, int(sibling.size or 0), lfs and lfs.sha256, sibling.blob_id)


def _fetch(
    api: Any,  # noqa: ANN401
    repo: str,
    commit: str,
    file: Remote,
    into: Path,
    on_bytes: Callable[[int], None] = lambda n: None,
) -> Path:
    """One file, whole and checked; what is there already is not fetched again."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get

    target = into / file.name
    if not target.resolve().is_relative_to(into.resolve()):
        raise ModelDamaged(f"{repo} names a file outside of itself: {file.name}.")
    if target.exists():
        if _sum(target, file) == _promised(file):
            return target
        target.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    url = hf_hub_url(repo, file.name, revision=commit, endpoint=api.endpoint)
    with part.open("ab") as out:
        start = out.tell()
        if start < file.size or not file.size:
            # The hub counts compressed bytes otherwise, and cannot go on in their middle.
            headers = {**api._build_hf_headers(), "Accept-Encoding": "identity"}
            with _small_chunks():
                http_get(
                    url,
                    _Counted(out, on_bytes),  # type: ignore[arg-type]
                    resume_size=start,
                    headers=headers,
                    expected_size=file.size or None,
                )
        out.flush()
        os.fsync(out.fileno())
    _check(part, file)
    part.replace(target)
    return target


@contextmanager
def _small_chunks() -> Iterator[None]:
    """Within, what arrived is written often: a chunk is what a cut-off loses."""
    from huggingface_hub import constants

    usual = constants.DOWNLOAD_CHUNK_SIZE
    constants.DOWNLOAD_CHUNK_SIZE = _CHUNK
    try:
        yield
    finally:
        constants.DOWNLOAD_CHUNK_SIZE = usual


class _Counted:
    """A file that tells how long it is after every write; in all else the file itself."""

    def __init__(self, file: IO[bytes], on_bytes: Callable[[int], None]) -> None:
        self._file = file
        self._on_bytes = on_bytes

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        """Write, then tell."""
        written = self._file.write(data)
        self._on_bytes(self._file.tell())
        return written


def _check(path: Path, file: Remote) -> None:
    """Raise ModelDamaged, and keep nothing, when the content is not what the hub says."""
    found, promised = _sum(path, file), _promised(file)
    if found != promised:
        path.unlink()
        raise ModelDamaged(
            f"{file.name} arrived with the checksum {found[:12]}, not the {promised[:12]} that the "
            "hub gives.",
            "Nothing of it was kept; fetch it again, and if it stays so, do not trust its source.",
        )


def _promised(file: Remote) -> str:
    return file.sha256 or file.git or ""


def _sum(path: Path, file: Remote) -> str:
    """The sha256 of a large file; of a small one the sha1 by which git names it."""
    with path.open("rb") as read:
        if file.sha256:
            return hashlib.file_digest(read, "sha256").hexdigest()
        blob = b"blob %d\0" % path.stat().st_size + read.read()
        return hashlib.sha1(blob, usedforsecurity=False).hexdigest()


@contextmanager
def _errors_told(repo: str, into: Path) -> Iterator[None]:
    from huggingface_hub import errors

    network = _network_error()

    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelMissing(
            f"{repo} is given only to those who accepted its licence.",
            "Accept it on its page, then set the variable HF_TOKEN to a token of yours.",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelMissing(f"{repo} has no such revision.", "Leave --revision out.") from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise ModelMissing(
            f"There is no repository {repo!r}, or it is private.",
            "Names are OWNER/NAME, as on the model's page.",
        ) from error
    except (network, OSError) as error:
        raise _unreachable(repo, into, error) from error


def _unreachable(repo: str, into: Path, error: Exception) -> HubUnreachable:
    """Told apart by whether anything arrived, now or before."""
    if any(path.is_file() and path.stat().st_size for path in into.rglob("*")):
        return HubUnreachable(
            f"Fetching {repo} was cut off: {first_line(error)}",
            "Is the network there? What arrived is kept; run the same command again to go on.",
        )
    return HubUnreachable(
        f"{endpoint()} was not reached: {first_line(error)}",
        "Is the network there? Nothing was fetched; run the same command again once it is.",
    )


def _network_error() -> type[Exception]:
    """The error that everything the HTTP library raises comes from, whichever library that is."""
    from huggingface_hub.errors import HfHubHTTPError

    kinds = HfHubHTTPError.__mro__
    return next((kind for kind in kinds if kind.__name__ == "HTTPError"), HfHubHTTPError)
