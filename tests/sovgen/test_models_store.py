"""Models are found, described and refused from text alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from index.bundled import BUNDLED, bundled_model
from sovgen.errors import ModelDamaged, ModelMissing, ModelUnsupported, UnsafeWeights
from sovgen.models.description import describe_model, reread_model, verify_model
from sovgen.models.keeping import add_model
from sovgen.models.kept import kept_sums
from sovgen.models.store import find_model, list_models
from tests import tiny
from tests.single_file import save_single


@pytest.fixture
def folder(tiny_models: Path, tmp_path: Path) -> Path:
    """A copy of the tiny SD 1.x folder, to be damaged."""
    return Path(shutil.copytree(tiny_models / "sd1", tmp_path / "copy"))


def rewrite(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_no_name_is_the_bundled_model() -> None:
    found = find_model()
    assert (found.name, found.path, found.bundled) == (BUNDLED, bundled_model(), True)
    assert find_model(BUNDLED) == find_model(bundled_model()) == found


def test_models_are_listed_and_found_by_name(tiny_models: Path) -> None:
    names = [found.name for found in list_models([tiny_models])]
    assert names[0] == BUNDLED
    assert {"sd1", "sd2", "sdxl"} <= set(names)
    assert find_model("sdxl", [tiny_models]).path == tiny_models / "sdxl"


def test_missing_model_is_told_with_the_nearest_name(tiny_models: Path) -> None:
    with pytest.raises(ModelMissing, match="sdlx") as caught:
        find_model("sdlx", [tiny_models])
    assert "sdxl" in caught.value.hint


def test_folder_without_a_pipeline_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelUnsupported, match="no model"):
        find_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "family", "towers", "sampler"),
    [
        ("sd1", "Stable Diffusion 1.x", 1, "pndm"),
        ("sd2", "Stable Diffusion 2.x", 1, "ddim"),
        ("sdxl", "Stable Diffusion XL", 2, "euler"),
    ],
)
def test_folder_and_file_tell_the_same(
    tiny_models: Path, name: str, family: str, towers: int, sampler: str
) -> None:
    folder = describe_model(tiny_models / name)
    file = describe_model(tiny_models / f"{name}.safetensors")
    for told in (folder, file):
        assert (told.family, len(told.text_towers), told.sampler) == (family, towers, sampler)
        assert told.precision == "float32"
        assert told.parameters > 5_000_000
        assert told.bytes >= 4 * told.parameters
    assert folder.text_towers == file.text_towers
    assert folder.native_size == (64, 64)


def test_bundled_model_is_described_without_torch() -> None:
    code = (
        "import sys; from sovgen.models.description import describe_model as d; m = d();"
        "print(m.license, m.native_size, m.precision, m.parameters);"
        "sys.exit(bool({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    license_, *_, precision, parameters = run.stdout.split()
    assert (license_, precision) == ("apache-2.0", "float16")
    assert int(parameters) > 30_000_000


def test_family_comes_from_the_weights_not_from_the_name(tiny_models: Path, tmp_path: Path) -> None:
    lying = tmp_path / "sdxl-turbo-v2.safetensors"
    shutil.copy(tiny_models / "sd1.safetensors", lying)
    assert describe_model(lying).family == "Stable Diffusion 1.x"


def test_hash_is_of_the_weights_whatever_the_folder_is_called(
    tiny_models: Path, folder: Path
) -> None:
    weights, configuration = reread_model(folder)
    assert (weights, configuration) == reread_model(tiny_models / "sd1")
    others = reread_model(tiny_models / "sd2")
    assert weights != others[0] and configuration != others[1]
    assert len(weights) == len(configuration or "") == 16


def test_file_is_told_from_its_weights_alone_and_a_configuration_by_what_it_says(
    tiny_models: Path, folder: Path
) -> None:
    assert reread_model(tiny_models / "sd1.safetensors")[1] is None
    before = reread_model(folder)
    for name in ("model_index.json", "unet/config.json"):
        about = {**json.loads((folder / name).read_text()), "_diffusers_version": "0.1.2"}
        (folder / name).write_text(json.dumps(dict(reversed(about.items()))))
    assert reread_model(folder) == before
    for name in ("tokenizer/vocab.json", "tokenizer/merges.txt", "tokenizer/tokenizer.json"):
        if (path := folder / name).exists():
            path.write_bytes(path.read_bytes() + b"\n")
            assert reread_model(folder)[0] == before[0]
            assert reread_model(folder)[1] != before[1]
            path.write_bytes(path.read_bytes()[:-1])
    assert reread_model(folder) == before
    for name, changes in {
        "scheduler/scheduler_config.json": {"beta_schedule": "linear"},
        "unet/config.json": {"norm_eps": 1e-3},
        "text_encoder/config.json": {"hidden_act": "gelu"},
    }.items():
        text = (folder / name).read_text()
        rewrite(folder / name, **changes)
        assert reread_model(folder)[0] == before[0]
        assert reread_model(folder)[1] != before[1], name
        (folder / name).write_text(text)


def test_single_file_has_the_licence_of_its_header_and_no_card_that_lies_beside_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: of-another\n---\n")
    for said, license in (("CreativeML Open RAIL-M", "CreativeML Open RAIL-M"), ("", None)):
        save_single(tiny.sd1(), tmp_path / "one.safetensors", {"modelspec.license": said})
        assert describe_model(tmp_path / "one.safetensors").license == license


def test_pickle_file_is_refused_unopened_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    path.write_bytes(b"\x80\x04never read")
    with pytest.raises(UnsafeWeights, match="pickle") as caught:
        find_model(path)
    assert "safetensors" in caught.value.hint


def test_folder_of_pickles_is_refused(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(UnsafeWeights, match="pickle"):
        describe_model(folder)


def test_truncated_weights_are_damage(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ModelDamaged, match="truncated"):
        describe_model(folder)


def test_what_is_no_safetensors_file_at_all_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("<html>404</html>")
    with pytest.raises(ModelDamaged, match=r"model\.safetensors"):
        describe_model(path)


def test_lfs_pointer_is_told_for_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4265380512\n")
    with pytest.raises(ModelDamaged, match="Git LFS pointer"):
        describe_model(path)


def test_part_that_is_missing_is_named(folder: Path) -> None:
    shutil.rmtree(folder / "vae")
    with pytest.raises(ModelDamaged, match="vae"):
        describe_model(folder)


def test_broken_configuration_is_named(folder: Path) -> None:
    (folder / "unet" / "config.json").write_text('{"in_channels": ')
    with pytest.raises(ModelDamaged, match=r"unet/config\.json"):
        describe_model(folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"_class_name": "KolorsPipeline"}, "KolorsPipeline"),
        ({"_class_name": "StableDiffusionUpscalePipeline"}, "it enlarges pictures"),
        ({"_class_name": ["my_pipeline", "MyPipeline"]}, "own code"),
        ({"unet": ["my_denoiser", "MyUNet"]}, "own code"),
        ({"vae": ["diffusers", "AutoencoderKLWan"]}, "AutoencoderKLWan"),
    ],
)
def test_pipeline_that_cannot_be_driven_is_refused(
    folder: Path, changes: dict[str, object], says: str
) -> None:
    rewrite(folder / "model_index.json", **changes)
    with pytest.raises(ModelUnsupported, match=says):
        describe_model(folder)


def test_editing_model_is_refused_with_the_reason(folder: Path) -> None:
    rewrite(folder / "unet" / "config.json", in_channels=8)
    with pytest.raises(ModelUnsupported, match="made for editing"):
        describe_model(folder)


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        ("lora_unet_down_blocks_0.lora_up.weight", "LoRA"),
        ("control_model.input_blocks.0.0.weight", "ControlNet"),
        (
            "model.diffusion_model.joint_blocks.0.x_block.mlp.fc1.weight",
            "Stable Diffusion 3.*without",
        ),
        ("double_blocks.0.img_attn.norm.key_norm.scale", "FLUX"),
        ("down_blocks.0.resnets.0.conv1.weight", "diffusers folder"),
        ("model.diffusion_model.input_blocks.0.0.weight", "text towers"),
    ],
)
def test_file_that_is_no_whole_model_is_told_for_what_it_is(
    tmp_path: Path, tensor: str, says: str
) -> None:
    path = tmp_path / "part.safetensors"
    save_file({tensor: torch.zeros(4, 4)}, path)
    with pytest.raises(ModelUnsupported, match=says):
        describe_model(path)


def test_file_that_lacks_its_autoencoder_is_damage(tiny_models: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    tensors = load_file(tiny_models / "sd1.safetensors")
    kept = {n: t for n, t in tensors.items() if not n.startswith("first_stage_model.")}
    save_file(kept, tmp_path / "half.safetensors")
    with pytest.raises(ModelDamaged, match="lacks tensors"):
        describe_model(tmp_path / "half.safetensors")


def test_changed_byte_in_a_model_with_checksums_is_refused(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundled_model(), tmp_path / "mini"))
    assert verify_model(copy) == verify_model() == []
    with (copy / "unet" / "diffusion_pytorch_model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    with pytest.raises(ModelDamaged, match=r"unet/diffusion_pytorch_model\.safetensors"):
        verify_model(copy)


def test_adding_tells_how_far_it_has_read_and_gives_no_name_when_it_is_stopped(
    tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("SOVGEN_CACHE", str(tmp_path / "cache"))
    path = tiny_models / "sd1"

    def stopped(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_model(path, "mine", stopped)
    assert [found.name for found in list_models()] == ["sovgen-mini"]
    told: list[tuple[int, int]] = []
    place = add_model(path, "mine", lambda done, total: told.append((done, total)))
    files = list(path.rglob("*.safetensors"))
    weight = sum(file.stat().st_size for file in files)
    assert told[-1] == (weight, weight) and told == sorted(told)
    assert len(kept_sums(place)) == len(files)
    told.clear()
    assert verify_model("mine", on_progress=lambda done, total: told.append((done, total))) == []
    assert told[-1] == (weight, weight) and told == sorted(told)
