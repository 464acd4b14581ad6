"""Everything that goes wrong says one clear thing, and nothing already in the library is lost.

What Ctrl-C and a kill leave behind is in test_generate.py.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

from index import Library, Query
from index.bundled import bundled_model
from index.store import Store
from tests.cli.conftest import Cli

TWO_STEPS = ("--steps", "2")


def contents(root: Path) -> tuple[object, object]:
    """All rows and all picture files of a library."""
    entries = Library.open(root).list(Query(k=None))
    return entries, {e.path: e.path.read_bytes() for e in entries}


@pytest.fixture
def kept(library: Path) -> Iterator[Path]:
    """A library that must be whole and unchanged when the test ends."""
    before = contents(library)
    yield library
    assert contents(library) == before
    assert not Library.open(library).verify()


def refused(done: Result, *words: str) -> None:
    """Exit 1, nothing on stdout, and two lines on stderr that hold the words."""
    assert done.exit_code == 1, done.output
    assert done.stdout in ("", "[]\n")
    lines = done.stderr.splitlines()
    assert [line.split(":")[0] for line in lines[-2:]] == ["Error", "Hint"], done.stderr
    for word in words:
        assert word in " ".join(lines[-2:]), done.stderr


def model_with(folder: Path, changed: str, change: Callable[[Path], None]) -> Path:
    """The bundled model's folder with one file changed; the others are links."""
    source = bundled_model()
    for path in (p for p in source.rglob("*") if p.is_file()):
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    (folder / changed).unlink()
    shutil.copyfile(source / changed, folder / changed)
    change(folder / changed)
    return folder


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1000)


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


# --- models


def test_no_such_model_asks_whether_a_near_name_was_meant(cli: Cli, kept: Path) -> None:
    done = cli(kept, "generate", "x", "--model", "sovgen-mni")
    refused(done, "sovgen-mni", "sovgen-mini")
    refused(cli(kept, "generate", "x", "--model", "/no/such/folder"), "/no/such/folder")


def test_no_such_upscaler_is_told_of_upscalers_alone(cli: Cli, kept: Path) -> None:
    id = Library.open(kept).list(Query(k=1))[0].id
    done = cli(kept, "upscale", id, "--upscaler", "nosuch")
    refused(done, "no upscaler 'nosuch'", "path")
    assert "sovgen-mini" not in done.stderr


def test_what_is_refused_makes_no_library(cli: Cli, tmp_path: Path) -> None:
    refused(cli(tmp_path / "none", "generate", "x", "--model", "sovgen-mni"), "sovgen-mini")
    assert cli(tmp_path / "none", "generate", "x", "--steps", "0").exit_code == 2
    assert not (tmp_path / "none").exists()


def test_truncated_weights_are_refused(cli: Cli, kept: Path, tmp_path: Path) -> None:
    weights = "vae/diffusion_pytorch_model.safetensors"
    model = model_with(tmp_path / "cut", weights, cut)
    refused(cli(kept, "generate", "x", "--model", model), "diffusion_pytorch_model.safetensors")


def test_corrupt_weights_are_refused_where_their_checksums_are_known(
    cli: Cli, kept: Path, tmp_path: Path
) -> None:
    weights = "vae/diffusion_pytorch_model.safetensors"
    model = model_with(tmp_path / "flipped", weights, flip)
    refused(cli(kept, "generate", "x", "--model", model), "diffusion_pytorch_model.safetensors")


def test_corrupt_header_is_refused(cli: Cli, kept: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(struct.pack("<Q", 10) + b"not a json" + bytes(64))
    refused(cli(kept, "generate", "x", "--model", file), "model.safetensors")


def test_unsupported_pipeline_class_is_named(cli: Cli, kept: Path, tmp_path: Path) -> None:
    index = json.dumps({"_class_name": "KandinskyV22Pipeline", "_diffusers_version": "0.42.1"})
    model = model_with(tmp_path / "other", "model_index.json", lambda p: void(p.write_text(index)))
    refused(cli(kept, "generate", "x", "--model", model), "KandinskyV22Pipeline")


def void(_: object) -> None:
    """Makes a lambda that writes return nothing."""


def test_pickled_weights_are_refused_with_what_to_do(cli: Cli, kept: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.ckpt"
    file.write_bytes(b"\x80\x04K\x01.")
    refused(cli(kept, "generate", "x", "--model", file), "safetensors")


# --- recipes


UPSCALE, VARY = ("upscale", "abcd"), ("variations", "abcd")
SWEEP = ("sweep", "x", "--to", "sweep")


@pytest.mark.parametrize(
    ("words", "option", "told"),
    [
        (("--size", "0x128"), "--size", "0"),
        (("--size", "128x9000"), "--size", "9000"),
        (("--steps", "0"), "--steps", "from 1 to 1000"),
        (("--steps", "1001"), "--steps", "steps 1001"),
        (("--guidance", "-1"), "--guidance", "guidance -1"),
        (("--guidance", "nan"), "--guidance", "guidance nan"),
        (("--guidance", "101"), "--guidance", "guidance 101"),
        (("--seed", "-1"), "--seed", "seed -1"),
        (("--seed", str(2**63 - 1), "--count", "2"), "--seed", "out of range"),
        (("--sampler", "eulr"), "--sampler", "Did you mean euler"),
        (("--schedule", "bent"), "--schedule", "karras"),
        (("--backend", "tpu"), "--backend", "openvino"),
        (("--lora", "ink:11"), "--lora", "from -10 to 10"),
        (("--from", "abcd", "--strength", "2"), "--strength", "from 0 to 1"),
        (("--from", "abcd", "--extend", "1,2"), "--extend", "left,top,right,bottom"),
        (("--strength", "0.5"), "strength", "--from ID or FILE"),
        (("--control", "edges"), "control", "--control-image ID or FILE"),
        (("--control-image", "abcd"), "control image", "--control."),
        (("--control-weight", "1"), "control weight", "--control."),
        (("--adapter", "looks"), "adapter", "--reference ID or FILE"),
        (("--reference", "abcd"), "reference", "--adapter."),
        (("--refine-from", "0.5"), "refine from", "--refiner"),
        ((*UPSCALE, "--by", "9"), "--by", "from 1 to 8"),
        ((*UPSCALE, "--strength", "2"), "--strength", "from 0 to 1"),
        ((*UPSCALE, "--tile", "8"), "--tile", "from 64"),
        ((*VARY, "--strength", "2"), "--strength", "from 0 to 1"),
        ((*VARY, "--variation", "2"), "--variation", "from 0 to 1"),
        ((*VARY, "--seed", "-1"), "--seed", "seed -1"),
        (("explain", "x", "--seed", "-1"), "--seed", "seed -1"),
        (("explain", "x", "--steps", "0"), "--steps", "steps 0"),
        ((*SWEEP, "--guidance", "2,-1"), "--guidance", "guidance -1"),
        ((*SWEEP, "--samplers", "eulr"), "--samplers", "Did you mean euler"),
    ],
    ids=lambda v: "=".join(v) if isinstance(v, tuple) else None,
)
def test_what_the_command_line_alone_shows_to_be_wrong_is_a_usage_mistake(
    cli: Cli, tmp_path: Path, words: tuple[str, ...], option: str, told: str
) -> None:
    named = () if words[0] in ("upscale", "variations", "explain", "sweep") else ("generate", "x")
    done = cli(tmp_path / "none", *named, *words)
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    error, hint = done.stderr.splitlines()[-2:]
    assert error.startswith("Error: ") and option in error
    assert hint.startswith("Hint: ") and told in f"{error} {hint}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--size", "130x128"), "130"),
        (("--device", "abacus"), "abacus"),
        (("--dtype", "float3"), "float3"),
    ],
    ids=lambda v: "=".join(v) if isinstance(v, tuple) else None,
)
def test_what_only_the_model_or_the_machine_can_tell_is_refused(
    cli: Cli, drawn: Path, words: tuple[str, ...], told: str
) -> None:
    before = contents(drawn)
    refused(cli(drawn, "generate", "x", *words), told)
    assert contents(drawn) == before


def test_a_bad_value_in_the_config_file_is_no_mistake_of_the_command_line(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text('device = "abacus"\n')
    config = {"SOVGEN_CONFIG": str(tmp_path / "config.toml")}
    refused(cli(tmp_path / "none", "generate", "x", **config), "abacus")


def test_a_prompt_longer_than_the_tower_is_read_to_its_end(cli: Cli, library: Path) -> None:
    before = {e.id for e in Library.open(library).list(Query(k=None))}
    prompts = [" ".join(["apple"] * 75 + ["zebra", last]) for last in ("violin", "walnut")]
    done = cli(library, "generate", *prompts, *TWO_STEPS, "--json")
    assert done.exit_code == 0, done.stderr
    made = json.loads(done.stdout)
    assert [one["prompt"] for one in made] == prompts
    assert len({one["id"] for one in made}) == 2
    assert "dropped" not in done.stderr
    assert before < {e.id for e in Library.open(library).list(Query(k=None))}


# --- pictures


def png(width: int, height: int) -> bytes:
    """The head of a PNG of that size, and an empty body."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_bad_pictures_are_named_with_reasons_and_the_rest_goes_on(
    cli: Cli, library: Path, tmp_path: Path
) -> None:
    before = {e.id for e in Library.open(library).list(Query(k=None))}
    folder = tmp_path / "mixed"
    folder.mkdir()
    Image.effect_noise((64, 64), 50).save(folder / "good.png")
    whole = (folder / "good.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "bomb.png").write_bytes(png(60_000, 60_000))
    (folder / "text.png").write_text("not a picture")
    done = cli(library, "add", folder, "--json")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["added"], report["known"]) == (1, 0)
    failed = {Path(f["path"]).name: f["reason"] for f in report["failed"]}
    assert set(failed) == {"truncated.png", "bomb.png", "text.png"}
    assert all(reason and "\n" not in reason for reason in failed.values())
    again = json.loads(cli(library, "add", folder / "good.png", "--json").stdout)
    assert again == {"added": 0, "ids": [], "known": 1, "failed": []}
    assert before < {e.id for e in Library.open(library).list(Query(k=None))}


def test_a_lone_bad_picture_fails_the_command(cli: Cli, kept: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    done = cli(kept, "add", tmp_path / "text.png")
    assert done.exit_code == 1
    assert "text.png" in done.stderr.splitlines()[0]
    assert json.loads(cli(kept, "add", tmp_path / "text.png", "--json").stdout)["added"] == 0


# --- libraries


def test_a_library_that_is_not_there_is_named_with_what_to_do(cli: Cli, tmp_path: Path) -> None:
    for words in (("search", "x"), ("list",), ("show", "abcd"), ("set", "list")):
        refused(cli(tmp_path / "none", *words), str(tmp_path / "none"), "sovgen")
        assert not (tmp_path / "none").exists()


def test_a_file_is_no_place_for_a_library(cli: Cli, drawn: Path) -> None:
    file = Library.open(drawn).list(Query(k=1))[0].path
    for words in (("list",), ("generate", "x", *TWO_STEPS), ("library", "new", file)):
        refused(cli(file, *words), f"{file}: it is a file", "another folder")


def test_names_that_say_nothing_are_told_what_they_lack(cli: Cli, kept: Path) -> None:
    id = Library.open(kept).list(Query(k=1))[0].id
    for words in (("set", "new", ""), ("tag", id, " "), ("list", "--tag", "")):
        refused(cli(kept, *words), "cannot be empty", "one letter")


def test_a_mask_that_is_no_picture_is_told_the_kinds(cli: Cli, kept: Path, tmp_path: Path) -> None:
    id = Library.open(kept).list(Query(k=1))[0].id
    (tmp_path / "mask.txt").write_text("white")
    words = ("generate", "x", *TWO_STEPS, "--from", id, "--mask", tmp_path / "mask.txt")
    refused(cli(kept, *words), "text, not a picture", "PNG, JPEG")


def test_unknown_and_ambiguous_ids_are_told_apart(cli: Cli, kept: Path) -> None:
    refused(cli(kept, "show", "zzzzzzzz"), "zzzzzzzz")
    refused(cli(kept, "delete", "abc"), "abc")
    refused(cli(kept, "tag", "zzzzzzzz", "x"), "zzzzzzzz")
    refused(cli(kept, "set", "add", "no such set", "zzzzzzzz"))
    refused(cli(kept, "set", "show", "no such set"), "no such set")


@pytest.mark.parametrize("predicate", ["steps >", "nonsense = 1", "true; DROP TABLE pictures"])
def test_predicates_that_cannot_be_understood_are_refused(
    cli: Cli, kept: Path, predicate: str
) -> None:
    refused(cli(kept, "list", "--where", predicate))


def test_a_library_of_a_newer_version_is_never_touched(cli: Cli, library: Path) -> None:
    import duckdb

    with duckdb.connect(library / "library.duckdb") as connection:
        connection.execute("UPDATE meta SET value = '999' WHERE key = 'schema'")
    before = (library / "library.duckdb").read_bytes()
    for words in (("list",), ("generate", "x", *TWO_STEPS), ("library", "verify")):
        refused(cli(library, *words), "999", "not touched")
    assert (library / "library.duckdb").read_bytes() == before


def test_another_encoder_is_refused_with_the_command_that_re_embeds(
    cli: Cli, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    root, clip = tmp_path / "library", tmp_path / "clip"
    assert cli(root, "models", "export-clip", clip).exit_code == 0
    assert cli(root, "library", "new", root, "--encoder", clip).exit_code == 0
    Image.new("RGB", (32, 32), "orange").save(tmp_path / "orange.png")
    assert cli(root, "add", tmp_path / "orange.png").exit_code == 0
    before = contents(root)
    [weights] = clip.glob("*.safetensors")
    tensors = load_file(weights)
    tensors["visual.proj" if "visual.proj" in tensors else max(tensors)] *= -1
    save_file(tensors, weights)
    for words in (("search", "fruit", "--all"), ("add", tmp_path / "orange.png")):
        refused(cli(root, *words), "sovgen library reembed --encoder")
    assert contents(root) == before
    again = cli(root, "library", "reembed", "--encoder", clip)
    assert again.exit_code == 0, again.stderr
    assert cli(root, "search", "fruit", "--all", "--paths").stdout == f"{before[0][0].path}\n"  # type: ignore[index]
    shutil.rmtree(clip)
    refused(cli(root, "search", "fruit"), str(clip))


def test_a_library_that_another_program_holds_is_waited_for_then_refused(
    cli: Cli, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.library.Store", partial(Store, wait_s=0.2))
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    command = [sys.executable, "-c", code, str(kept / "library.duckdb")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as holder:  # type: ignore[call-overload]
        holder.stdout.readline()
        refused(cli(kept, "rate", "abcd", "3"), "holds")
        holder.communicate(b"\n")
    assert cli(kept, "list").exit_code == 0


def test_an_export_of_what_does_not_match_is_refused(cli: Cli, kept: Path, tmp_path: Path) -> None:
    words = ("export", "--search", "xqzv blorptag wug", "--to", tmp_path / "out")
    refused(cli(kept, *words), "xqzv blorptag wug", "--all")
    assert not (tmp_path / "out").exists()


def test_an_export_never_overwrites_unasked(cli: Cli, kept: Path, tmp_path: Path) -> None:
    words = ("export", "--search", "fruit", "--all", "--to", tmp_path / "out")
    assert cli(kept, *words).exit_code == 0
    (tmp_path / "out" / "000001.png").write_bytes(b"mine")
    refused(cli(kept, *words), "--force")
    assert (tmp_path / "out" / "000001.png").read_bytes() == b"mine"
    assert cli(kept, *words, "--force").exit_code == 0


# --- disks: each in a mount namespace of its own, so nothing outside it changes


def in_namespace(script: str, environ: dict[str, str], **variables: object) -> str:
    """Run a script that may mount; gives its stderr. `$SOVGEN` is the program."""
    named = {name: str(value) for name, value in variables.items()}
    env = environ | named | {"PYTHON": sys.executable}
    command = [
        "unshare",
        "--mount",
        "bash",
        "-c",
        'set -e\nsovgen() { "$PYTHON" -m sovgen "$@"; }\n' + script,
    ]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_read_only_folder_can_be_asked_but_not_changed(
    kept: Path, environ: dict[str, str]
) -> None:
    script = """
    mount --bind "$SOVGEN_LIBRARY" "$SOVGEN_LIBRARY"
    mount -o remount,ro,bind "$SOVGEN_LIBRARY"
    sovgen search fruit --all --json | grep -q '"id"'
    sovgen generate "a bee" --steps 2
    """
    err = in_namespace(script, environ, SOVGEN_LIBRARY=kept)
    assert err.splitlines()[-2].startswith("Error: ") and "writ" in err.splitlines()[-2]


def test_a_full_disk_loses_nothing_that_was_kept(
    library: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    """Noise is added until a small disk is full; then the library is copied off and examined."""
    before = contents(library)[0]
    noise = tmp_path / "noise"
    noise.mkdir()
    for n in range(40):
        Image.effect_noise((500, 500), 90 + n).save(noise / f"{n}.png")
    script = """
    mount -t tmpfs -o size=14m tmpfs "$DISK"
    cp -a "$LIBRARY/." "$DISK"
    code=0
    sovgen --library "$DISK" add "$NOISE" || code=$?
    cp -a "$DISK" "$RESCUED"
    exit $code
    """
    (tmp_path / "disk").mkdir()
    places = {"DISK": tmp_path / "disk", "NOISE": noise, "RESCUED": tmp_path / "rescued"}
    err = in_namespace(script, environ, LIBRARY=library, **places)
    assert "room" in err.splitlines()[-2]
    after = Library.open(tmp_path / "rescued").list(Query(k=None))
    assert {e.id for e in before} <= {e.id for e in after}  # type: ignore[attr-defined]
    assert all(e.path.stat().st_size == e.bytes for e in after)
