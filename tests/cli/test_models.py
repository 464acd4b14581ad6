"""Models by name: fetched from a hub on loopback, added, removed; nothing unsafe is ever kept."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import additions, tiny
from tests.cli.conftest import Program
from tests.cli.hub import Hub, serving
from tests.single_file import save_single

REPO = "someone/a-model"
TOWER = "text_encoder/model.safetensors"
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A repository of a diffusers folder: with pickles and half precision that nobody fetches."""
    root = tmp_path_factory.mktemp("repository")
    tiny.sd1().save_pretrained(root)
    (root / "README.md").write_text("---\nlicense: openrail\n---\n")
    for path in list(root.rglob("*.safetensors")):
        path.with_suffix(".bin").write_bytes(b"never fetched")
        path.with_suffix(".fp16.safetensors").write_bytes(b"never fetched")
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture
def hub(files: dict[str, bytes]) -> Iterator[Hub]:
    large = frozenset(name for name in files if name.endswith(".safetensors"))
    with serving(Hub(REPO, dict(files), large)) as served:
        yield served


@pytest.fixture
def place(tmp_path: Path, sovgen: Program) -> Path:
    """The folder of models of a home that is this test's own."""
    return tmp_path / "sovgen" / "models"


def pulled(sovgen: Program, hub: Hub, place: Path, *more: str, **variables: str) -> tuple[int, str]:
    home = {"XDG_DATA_HOME": str(place.parent.parent), "HF_ENDPOINT": hub.url}
    done = sovgen("models", "pull", hub.repo, *more, **home, **variables)
    return done.returncode, done.stdout + done.stderr


def named(place: Path) -> list[str]:
    """What has a name there; what is remembered of it is hidden."""
    return sorted(name for name in os.listdir(place) if not name.startswith("."))


def flip(path: Path) -> None:
    """Change the last bit of a file."""
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def verified(sovgen: Program, name: object, place: Path) -> tuple[int, str]:
    done = sovgen("models", "verify", name, XDG_DATA_HOME=str(place.parent.parent))
    return done.returncode, done.stderr


def test_model_is_fetched_checked_named_and_draws(
    sovgen: Program, hub: Hub, place: Path, files: dict[str, bytes]
) -> None:
    status, told = pulled(sovgen, hub, place, "--name", "mine")
    assert status == 0, told
    assert f"Online for this command alone: fetching {REPO} from {hub.url}" in told
    kept = {
        p.relative_to(place / "mine").as_posix() for p in (place / "mine").rglob("*") if p.is_file()
    }
    unwanted = {n for n in files if n.endswith((".bin", ".fp16.safetensors"))}
    assert kept == set(files) - unwanted
    assert not [path for _, path, _, _ in hub.asked if "never" in path or path.endswith(".bin")]
    assert {authorization for *_, authorization in hub.asked} == {None}
    assert named(place) == ["mine"]
    home = {"XDG_DATA_HOME": str(place.parent.parent)}
    described = sovgen("models", "info", "mine", "--json", **home)
    about = json.loads(described.stdout)
    assert (about["license"], about["family"]) == ("openrail", "Stable Diffusion 1.x")
    again = pulled(sovgen, hub, place, "--name", "mine")
    assert again[0] == 1 and "already a model mine" in again[1]
    reserved = pulled(sovgen, hub, place, "--name", "sovgen-mini")
    assert reserved[0] == 1 and "sovgen-mini is the bundled model" in reserved[1]
    assert named(place) == ["mine"]


def test_byte_that_changed_since_a_model_was_fetched_is_told(
    sovgen: Program, hub: Hub, place: Path
) -> None:
    # A file so small that the hub has git's sum of it alone is remembered too.
    hub.large -= {TOWER}
    assert pulled(sovgen, hub, place, "--name", "mine")[0] == 0
    assert verified(sovgen, "mine", place) == (0, "Clean.\n")
    for name in (UNET, TOWER):
        flip(place / "mine" / name)
        status, told = verified(sovgen, place / "mine", place)
        assert (status, f"mine/{name}." in told) == (1, True), told
        flip(place / "mine" / name)
    assert verified(sovgen, "mine", place) == (0, "Clean.\n")


def test_fetch_that_was_cut_off_goes_on_where_it_stopped(
    sovgen: Program, hub: Hub, place: Path, files: dict[str, bytes]
) -> None:
    hub.cut = (TOWER, 11_000_000)
    status, told = pulled(sovgen, hub, place)
    assert status == 1
    assert "cut off" in told and "run the same command again" in told
    assert not (place / "a-model").exists()
    hub.cut = None
    hub.asked.clear()
    status, told = pulled(sovgen, hub, place)
    assert status == 0, told
    # What arrived within a chunk of 256 KiB is lost at most.
    [(is_tower, span)] = [(p.endswith(TOWER), span) for _, p, span, _ in hub.asked if span]
    assert is_tower
    assert 11_000_000 - 2**18 <= int(span.removeprefix("bytes=").rstrip("-")) <= 11_000_000
    assert (place / "a-model" / TOWER).read_bytes() == files[TOWER]


def test_a_hub_that_is_not_reached_is_told_apart_from_one_that_broke_off(
    sovgen: Program, place: Path
) -> None:
    home = {"XDG_DATA_HOME": str(place.parent.parent), "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = sovgen("models", "pull", REPO, **home)
    assert done.returncode == 1 and "Nothing was fetched" in done.stderr.splitlines()[-1]
    assert "http://127.0.0.1:9 was not reached" in done.stderr and "kept" not in done.stderr


def test_what_another_choice_left_is_not_in_the_model(
    sovgen: Program, hub: Hub, place: Path, files: dict[str, bytes]
) -> None:
    hub.cut = (TOWER, 1_000_000)
    assert pulled(sovgen, hub, place)[0] == 1
    hub.cut = None
    status, told = pulled(sovgen, hub, place, "--variant", "fp16")
    assert status == 0, told
    weights = [path.name for path in (place / "a-model").rglob("*.safetensors*")]
    assert weights and all(name.endswith(".fp16.safetensors") for name in weights)


def test_one_of_several_files_is_chosen_and_the_others_are_named(
    sovgen: Program, hub: Hub, place: Path, files: dict[str, bytes]
) -> None:
    hub.files = {
        "v1/small.safetensors": files[UNET],
        "large.safetensors": files[TOWER],
        "old.ckpt": b"never fetched",
        "README.md": b"---\nlicense: openrail\n---\n",
    }
    hub.large = frozenset(name for name in hub.files if name.endswith(".safetensors"))
    status, told = pulled(sovgen, hub, place)
    assert status == 1
    assert "Choose one by --file: large.safetensors, v1/small.safetensors" in told
    for wrong, says in (("nothing.safetensors", "It has large"), ("old.ckpt", "pickles")):
        status, told = pulled(sovgen, hub, place, "--file", wrong)
        assert (status, says in told) == (1, True), told
    status, told = pulled(sovgen, hub, place, "--file", "v1/small.safetensors")
    assert status == 0, told
    assert (place / "small.safetensors").read_bytes() == files[UNET]
    assert named(place) == ["small.safetensors"]


def test_variant_of_a_folder_is_fetched_alone(
    sovgen: Program, hub: Hub, place: Path, files: dict[str, bytes]
) -> None:
    half = dict(files)
    for name in files:
        if ".fp16." in name:
            half[name] = files[name.replace(".fp16", "")]
        elif name.endswith(".safetensors"):
            half[name] = b"never fetched"
    hub.files = half
    status, told = pulled(sovgen, hub, place, "--variant", "int8")
    assert status == 1 and "no variant int8" in told and "fp16" in told
    status, told = pulled(sovgen, hub, place, "--variant", "fp16")
    assert status == 0, told
    kept = {p.name for p in (place / "a-model").rglob("*.safetensors")}
    assert kept and all(".fp16." in name for name in kept)
    home = {"XDG_DATA_HOME": str(place.parent.parent)}
    assert sovgen("models", "info", "a-model", **home).returncode == 0


@pytest.mark.parametrize("name", [UNET, "unet/config.json"])
def test_content_that_is_not_what_its_checksum_says_is_refused_and_not_kept(
    sovgen: Program, hub: Hub, place: Path, name: str
) -> None:
    hub.lie = name
    status, told = pulled(sovgen, hub, place)
    assert status == 1
    assert f"{name} arrived with the checksum" in told
    assert not [path for path in place.rglob("*") if name in path.as_posix()]
    hub.lie = None
    assert pulled(sovgen, hub, place)[0] == 0


def test_repository_of_pickles_is_refused_before_anything_large_comes(
    sovgen: Program, hub: Hub, place: Path
) -> None:
    hub.files = {n: d for n, d in hub.files.items() if not n.endswith(".safetensors")}
    status, told = pulled(sovgen, hub, place)
    assert status == 1
    assert "only as pickles" in told
    assert not [path for _, path, _, _ in hub.asked if path.endswith(".bin")]


def test_repository_of_one_file_becomes_a_single_file_with_the_cards_licence(
    sovgen: Program, hub: Hub, place: Path, tmp_path: Path
) -> None:
    save_single(tiny.sd1(), tmp_path / "one", {"modelspec.license": "MIT"})
    card = b"---\nlicense: openrail\ninference:\n  parameters:\n    guidance_scale: 2.5\n---\n"
    hub.files = {"model.safetensors": (tmp_path / "one").read_bytes(), "README.md": card}
    hub.large = frozenset({"model.safetensors"})
    status, told = pulled(sovgen, hub, place)
    assert status == 0, told
    assert named(place) == ["a-model.safetensors"]
    home = {"XDG_DATA_HOME": str(place.parent.parent)}
    about = json.loads(sovgen("models", "info", "a-model", "--json", **home).stdout)
    assert about["license"] == "openrail"
    assert verified(sovgen, "a-model", place) == (0, "Clean.\n")
    # Another file of that name, put there by hand once this one is removed, has no such card.
    assert sovgen("models", "remove", "a-model", "--yes", **home).returncode == 0
    shutil.copyfile(tmp_path / "one", place / "a-model.safetensors")
    about = json.loads(sovgen("models", "info", "a-model", "--json", **home).stdout)
    assert about["license"] == "MIT"


def test_unknown_repository_is_one_clear_line(sovgen: Program, hub: Hub, place: Path) -> None:
    hub.repo = "someone/else"
    home = {"XDG_DATA_HOME": str(place.parent.parent), "HF_ENDPOINT": hub.url}
    done = sovgen("models", "pull", REPO, **home)
    assert done.returncode == 1
    error = [line for line in done.stderr.splitlines() if line.startswith("Error:")]
    assert error == [f"Error: There is no repository '{REPO}', or it is private."]


def test_token_is_sent_only_when_it_is_given(sovgen: Program, hub: Hub, place: Path) -> None:
    assert pulled(sovgen, hub, place, HF_TOKEN="hf_example")[0] == 0
    assert {authorization for *_, authorization in hub.asked} == {"Bearer hf_example"}


def test_model_that_lies_elsewhere_is_added_and_removed_without_touching_it(
    sovgen: Program, tmp_path: Path, place: Path
) -> None:
    tiny.sd1().save_pretrained(tmp_path / "elsewhere")
    home = {"XDG_DATA_HOME": str(place.parent.parent)}
    done = sovgen("models", "add", tmp_path / "elsewhere", "--name", "mine", **home)
    assert done.returncode == 0, done.stderr
    assert "mine\t" in sovgen("models", "list", **home).stdout
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "elsewhere").rglob("*")}
    assert verified(sovgen, "mine", place) == (0, "Clean.\n")
    flip(tmp_path / "elsewhere" / UNET)
    status, told = verified(sovgen, "mine", place)
    assert (status, f"mine/{UNET}." in told) == (1, True), told
    assert sovgen("models", "remove", "mine", **home).returncode == 0
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "elsewhere").rglob("*")}
    assert {path for path in after if after[path] != before.get(path)} == {
        tmp_path / "elsewhere" / UNET
    }
    shutil.move(tmp_path / "elsewhere", place / "own")
    # Nobody has said what these weights were: neither clean nor changed, the old name's sums gone.
    (place / "own").rename(place / "mine")
    status, told = verified(sovgen, "mine", place)
    assert (status, "Clean" in told) == (0, False)
    assert "no sums to compare with" in told and UNET in told and TOWER in told
    (place / "mine").rename(place / "own")
    assert sovgen("models", "remove", "own", **home).returncode == 1
    assert (place / "own").exists()
    assert sovgen("models", "remove", "own", "--yes", **home).returncode == 0
    assert not (place / "own").exists()
    assert sovgen("models", "remove", "sovgen-mini", "--yes", **home).returncode == 1


def test_single_file_is_added_with_its_sum(sovgen: Program, tmp_path: Path, place: Path) -> None:
    save_single(tiny.sd1(), tmp_path / "one.safetensors")
    assert verified(sovgen, tmp_path / "one.safetensors", place) == (
        0,
        "There are no sums to compare with for one.safetensors: nothing tells what they were.\n",
    )
    home = {"XDG_DATA_HOME": str(place.parent.parent)}
    assert sovgen("models", "add", tmp_path / "one.safetensors", **home).returncode == 0
    assert verified(sovgen, "one", place) == (0, "Clean.\n")
    flip(tmp_path / "one.safetensors")
    status, told = verified(sovgen, "one", place)
    assert (status, "one is not what was added or fetched" in told) == (1, True), told


def test_additions_are_added_and_removed_by_name_as_models_are(
    sovgen: Program, tmp_path: Path, place: Path
) -> None:
    pipe, home = tiny.sd1(), {"XDG_DATA_HOME": str(place.parent.parent)}
    lora = tmp_path / "ink.safetensors"
    additions.save_kohya(additions.lora_of(pipe), lora, pipe)
    additions.control_of(pipe).save_pretrained(tmp_path / "edges")
    for path, name, kind in (
        (lora, "soft-ink", "lora"),
        (tmp_path / "edges", "edges", "controlnet"),
    ):
        done = sovgen("models", "add", path, "--name", name, **home)
        assert done.returncode == 0, done.stderr
        assert f"{name}\t{kind}" in sovgen("models", "list", **home).stdout
        about = sovgen("models", "info", name, "--json", **home)
        assert json.loads(about.stdout)["kind"] == kind, about.stderr
        assert sovgen("models", "remove", name, **home).returncode == 0
        assert path.exists()
    (tmp_path / "notes.safetensors").write_bytes(b"no tensors")
    refused = sovgen("models", "add", tmp_path / "notes.safetensors", **home)
    assert refused.returncode == 1 and "truncated or damaged" in refused.stderr
    assert named(place) == []


def test_info_tells_the_memory_and_whether_a_tower_is_the_librarys_clip(
    sovgen: Program, drawn: Path, tmp_path: Path
) -> None:
    done = sovgen(
        "--library", drawn, "models", "info", "sovgen-mini", "--json", "--size", "128x128"
    )
    about = json.loads(done.stdout)
    assert about["library_clip"] == {"text_encoder": "equal"}
    assert about["memory"]["size"] == "128x128"
    assert float(about["memory"]["peak"].removesuffix(" GB")) > 0.08
    for name, build in (("xl", tiny.sdxl), ("pixart", tiny.pixart)):
        build().save_pretrained(tmp_path / name)
    done = sovgen("--library", drawn, "models", "info", tmp_path / "xl", "--size", "64x64")
    told = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert told["library_clip"] == "text_encoder: different, text_encoder_2: different"
    assert told["memory"].startswith("size: 64x64, device: cpu, dtype: "), told["memory"]
    done = sovgen("--library", drawn, "models", "info", tmp_path / "pixart", "--json")
    assert json.loads(done.stdout)["library_clip"] == {"text_encoder": "no CLIP"}
