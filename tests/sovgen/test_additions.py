"""LoRA, textual inversion, VAE, ControlNet, IP-Adapter: each changes the picture, and leaves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sovgen.errors import (
    BadRecipe,
    ModelDamaged,
    ModelMissing,
    ModelUnsupported,
    SovgenError,
    UnsafeWeights,
)
from sovgen.generate.generator import generate
from sovgen.models.load import Model, load_model
from sovgen.picture import encode_png
from sovgen.recipe import Recipe
from tests import additions, tiny

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:numpy"),
]

FOX = Recipe("a red fox", seed=11, steps=2, guidance=3.0, width=64, height=64, sampler="ddim")
TWO = [replace(FOX, prompt=p, seed=s) for s, p in enumerate(("a cat", "a house by the sea"))]
KINDS = ("loras", "embeddings", "vae", "control", "adapter")
PICTURES = {
    "ramp": Image.linear_gradient("L").resize((64, 64)).convert("RGB"),
    "disc": Image.radial_gradient("L").resize((48, 80)).convert("RGB"),
}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models' additions, each in the layout that its authors give it."""
    root = tmp_path_factory.mktemp("shelf")
    for family, build in (("sd1", tiny.sd1), ("sdxl", tiny.sdxl)):
        pipe = build()
        lora = additions.lora_of(pipe)
        additions.save_kohya(lora, root / f"ink-{family}.safetensors", pipe)
        additions.save_peft(lora, root / f"ink-{family}-peft.safetensors")
        additions.save_kohya(
            additions.lora_of(pipe, seed=1), root / f"wash-{family}.safetensors", pipe
        )
        additions.control_of(pipe).save_pretrained(root / f"edges-{family}")
        (root / f"looks-{family}").mkdir()
        additions.save_adapter(pipe, root / f"looks-{family}")
    additions.save_embedding(root / "Moebius-1.safetensors", {"emb_params": 64})
    additions.save_embedding(root / "duo.safetensors", {"clip_l": 64, "clip_g": 128})
    additions.other_vae().save_pretrained(root / "soft-vae")
    additions.save_original_vae(additions.other_vae(), root / "hard-vae.safetensors")
    return root


@pytest.fixture(scope="module")
def sd1(tiny_models: Path, shelf: Path) -> Model:
    return load_model(tiny_models / "sd1", "cpu", "float32", folders=[shelf])


@pytest.fixture(scope="module")
def sdxl(tiny_models: Path, shelf: Path) -> Model:
    return load_model(tiny_models / "sdxl", "cpu", "float32", folders=[shelf])


def draw(model: Model, recipe: Recipe) -> Image.Image:
    [picture] = generate(model, [recipe], sources=PICTURES)
    return picture.image


def apart(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of any value, 0 .. 255."""
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int)).max())


def with_all(family: str) -> dict[str, Recipe]:
    """A recipe for each kind of addition, and one for all at once."""
    word = "duo" if family == "sdxl" else "Moebius-1"
    fields: dict[str, dict[str, object]] = {
        "loras": {"loras": (f"ink-{family}:0.8", f"wash-{family}:-0.5")},
        "embeddings": {"embeddings": (word,), "prompt": f"a fox, {word}"},
        "vae": {"vae": "soft-vae"},
        "control": {"control": f"edges-{family}", "control_image": "ramp"},
        "adapter": {"adapter": f"looks-{family}", "reference": ("ramp:0.7", "disc")},
    }
    fields["all"] = {name: value for one in fields.values() for name, value in one.items()}
    return {kind: replace(FOX, **given) for kind, given in fields.items()}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("family", "kind"), [*(("sd1", kind) for kind in KINDS), ("sdxl", "all"), ("sd1", "all")]
)
def test_each_shows_in_the_picture_and_leaves_the_model_to_the_bit(
    request: pytest.FixtureRequest, family: str, kind: str
) -> None:
    model: Model = request.getfixturevalue(family)
    recipe = with_all(family)[kind]
    plain, names = draw(model, FOX), list(model.pipe.unet.state_dict())
    [with_it] = generate(model, [recipe], sources=PICTURES)
    assert apart(with_it.image, draw(model, replace(FOX, prompt=recipe.prompt))) > 8
    assert draw(model, FOX) == plain
    assert list(model.pipe.unet.state_dict()) == names
    [again] = generate(model, [recipe], sources=PICTURES)
    assert encode_png(again) == encode_png(with_it)


@pytest.mark.parametrize("kind", ["control", "adapter", "all"])
def test_batch_gives_what_each_alone_gives(sd1: Model, kind: str) -> None:
    recipes = [replace(with_all("sd1")[kind], seed=seed) for seed in (1, 2)]
    together = list(generate(sd1, recipes, batch=2, sources=PICTURES))
    alone = list(generate(sd1, recipes, exact=True, sources=PICTURES))
    for one, other in zip(together, alone, strict=True):
        assert apart(one.image, other.image) <= 1
    assert apart(alone[0].image, alone[1].image) > 8


STEERED = replace(FOX, steps=6, sampler="euler", guidance=20.0)
SILENT = {
    "control": {"control_image": "ramp", "control_weight": 0.0},
    "adapter": {"reference": ("ramp:0",)},
}


@pytest.mark.parametrize(
    ("family", "sampler"), [("sd1", "euler"), ("sdxl", "euler"), ("sd1", "ddim cfg++")]
)
@pytest.mark.parametrize(
    "guided",
    [
        {"guidance_from": 0.3, "guidance_until": 0.8},
        {"guidance_until": 0.5, "guidance_rescale": 0.7},
    ],
)
def test_guidance_is_steered_beside_a_picture_as_it_is_without_one(
    request: pytest.FixtureRequest, family: str, sampler: str, guided: dict[str, float]
) -> None:
    model: Model = request.getfixturevalue(family)
    names = {"control": f"edges-{family}", "adapter": f"looks-{family}"}
    steered = replace(STEERED, sampler=sampler)
    recipe = replace(steered, **guided)  # type: ignore[arg-type]
    plain = draw(model, recipe)
    assert apart(plain, draw(model, steered)) > 1
    for kind, silent in SILENT.items():
        beside = replace(recipe, **{kind: names[kind]}, **silent)  # type: ignore[arg-type]
        assert apart(plain, draw(model, beside)) <= 1, kind
    heard = {k: v for k, v in vars(with_all(family)["all"]).items() if v and k in names}
    loud = replace(recipe, **heard, control_image="ramp", reference=("disc",))
    assert apart(plain, draw(model, loud)) > 1


@pytest.mark.parametrize(
    ("family", "prefix"), [("sd1", "control_model."), ("sd1", ""), ("sdxl", None), ("sd1", None)]
)
def test_control_in_a_single_file_steers_as_its_folder_does(
    request: pytest.FixtureRequest, tmp_path: Path, family: str, prefix: str | None
) -> None:
    model: Model = request.getfixturevalue(family)
    control = additions.control_of({"sd1": tiny.sd1, "sdxl": tiny.sdxl}[family]())
    path = tmp_path / "edges.safetensors"
    if prefix is None:
        save_file({n: t.contiguous() for n, t in control.state_dict().items()}, path)
    else:
        additions.save_original_control(control, path, prefix)
    recipe = with_all(family)["control"]
    assert apart(draw(model, recipe), draw(model, replace(recipe, control=str(path)))) <= 1
    other = "sdxl" if family == "sd1" else "sd1"
    with pytest.raises(ModelUnsupported, match="wide"):
        draw(request.getfixturevalue(other), replace(recipe, control=str(path)))


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        ("control_model.lllite_unet.weight", "LLLite"),
        ("controlnet_cond_embedding.transformer_blocks.0.norm1_context.weight", "FLUX"),
        ("control_model.strange.weight", "keys are neither"),
    ],
)
def test_what_else_is_called_a_controlnet_is_refused(
    sd1: Model, tmp_path: Path, tensor: str, says: str
) -> None:
    path = tmp_path / "odd.safetensors"
    save_file({tensor: torch.zeros(2, 2, 1, 1)}, path)
    with pytest.raises(ModelUnsupported, match=says):
        draw(sd1, replace(with_all("sd1")["control"], control=str(path)))


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
@pytest.mark.parametrize("style", ["", "-peft"])
def test_lora_is_its_product_added_to_the_weights(
    request: pytest.FixtureRequest, tmp_path: Path, family: str, style: str
) -> None:
    pipe = tiny.PIPES[family]()
    additions.merge(pipe, additions.lora_of(pipe), 0.8)
    pipe.save_pretrained(tmp_path / "merged")
    merged = draw(load_model(tmp_path / "merged", "cpu", "float32"), FOX)
    model: Model = request.getfixturevalue(family)
    assert apart(draw(model, replace(FOX, loras=(f"ink-{family}{style}:0.8",))), merged) <= 1


def test_loras_add_up_and_a_weight_of_zero_is_none(sd1: Model) -> None:
    both = draw(sd1, replace(FOX, loras=("ink-sd1:0.8", "wash-sd1:0.8")))
    assert apart(both, draw(sd1, replace(FOX, loras=("wash-sd1:0.8", "ink-sd1:0.8")))) <= 1
    assert apart(both, draw(sd1, replace(FOX, loras=("ink-sd1:0.8",)))) > 8
    assert apart(draw(sd1, FOX), draw(sd1, replace(FOX, loras=("ink-sd1:0",)))) <= 1


MISMATCHES = {
    "LoRA of SDXL for SD 1": ("sd1", {"loras": ("ink-sdxl",)}, "LoRA.*192 wide.*64 wide"),
    "LoRA of SD 1 for SDXL": ("sdxl", {"loras": ("ink-sd1",)}, "LoRA.*64 wide.*192 wide"),
    "word of SD 1 for SDXL": ("sdxl", {"embeddings": ("Moebius-1",)}, "clip_l and clip_g"),
    "word of SDXL for SD 1": ("sd1", {"embeddings": ("duo",)}, "needs one tensor"),
    "ControlNet of SDXL for SD 1": (
        "sd1",
        {"control": "edges-sdxl", "control_image": "ramp"},
        "ControlNet.*192 wide.*64 wide",
    ),
    "IP-Adapter of SDXL for SD 1": (
        "sd1",
        {"adapter": "looks-sdxl", "reference": ("ramp",)},
        "IP-Adapter.*192 wide.*64 wide",
    ),
}


@pytest.mark.parametrize("what", MISMATCHES)
def test_mismatch_is_named_before_anything_is_drawn(
    request: pytest.FixtureRequest, what: str
) -> None:
    family, fields, words = MISMATCHES[what]
    model: Model = request.getfixturevalue(family)
    wrong = replace(FOX, **fields)  # type: ignore[arg-type]
    with pytest.raises(ModelUnsupported, match=words) as caught:
        generate(model, [FOX, wrong], sources=PICTURES)
    assert model.family in caught.value.message + caught.value.hint


def test_real_widths_are_told_as_families(sd1: Model, tmp_path: Path) -> None:
    keys = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k.lora_"
    for width, family in ((768, "1.x"), (1024, "2.x"), (2048, "XL")):
        pair = {f"{keys}down.weight": torch.ones(4, width), f"{keys}up.weight": torch.ones(64, 4)}
        save_file(pair, tmp_path / "style.safetensors")
        with pytest.raises(ModelUnsupported, match=f"a LoRA for Stable Diffusion {family}"):
            generate(sd1, [replace(FOX, loras=(str(tmp_path / "style.safetensors"),))])


def changed_lora(
    shelf: Path, path: Path, change: Callable[[dict[str, torch.Tensor]], None]
) -> Recipe:
    """A recipe with a LoRA that differs from a sound one."""
    tensors = load_file(shelf / "ink-sd1.safetensors")
    change(tensors)
    save_file(tensors, path)
    return replace(FOX, loras=(str(path),))


def test_half_a_lora_a_wide_one_and_its_cousins_are_refused(
    sd1: Model, shelf: Path, tmp_path: Path
) -> None:
    key = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"

    def widen(tensors: dict[str, torch.Tensor]) -> None:
        tensors[f"{key}.lora_up.weight"] = torch.ones(65, 4)

    def move(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if name.startswith(key)]:
            tensors[name.replace("transformer_blocks_0", "transformer_blocks_5")] = tensors.pop(
                name
            )

    def lokr(tensors: dict[str, torch.Tensor]) -> None:
        tensors[f"{key}.lokr_w1"] = torch.ones(2, 2)

    def dora(tensors: dict[str, torch.Tensor]) -> None:
        tensors[f"{key}.dora_scale"] = torch.ones(64, 1)

    for change, words in (
        (widen, r"\(65, 4\) where unet.*to_q needs \(64, 4\)"),
        (move, "1 of the .* layers of wrong are not in sd1, such as unet.*transformer_blocks.5"),
        (lokr, "LoKr"),
        (dora, "DoRA"),
    ):
        recipe = changed_lora(shelf, tmp_path / "wrong.safetensors", change)
        with pytest.raises(ModelUnsupported, match=words):
            generate(sd1, [recipe])
    half = changed_lora(
        shelf, tmp_path / "half.safetensors", lambda t: t.pop(f"{key}.lora_up.weight")
    )
    with pytest.raises(ModelDamaged, match="lacks .*attn1_to_q.lora_up"):
        generate(sd1, [half])


def test_what_is_not_there_not_safe_or_something_else_is_told(
    sd1: Model, shelf: Path, tmp_path: Path
) -> None:
    def told(error: type[SovgenError], **fields: object) -> str:
        with pytest.raises(error) as caught:
            generate(sd1, [replace(FOX, **fields)], sources=PICTURES)  # type: ignore[arg-type]
        return f"{caught.value.message} {caught.value.hint}"

    assert "Did you mean ink-sd1" in told(ModelMissing, loras=("ink-sd:0.5",))
    assert "a VAE: give it as --vae" in told(ModelUnsupported, loras=("soft-vae",))
    assert "ink-sd1 is given twice" in told(BadRecipe, loras=("ink-sd1:0.5", "ink-sd1:0.2"))
    assert "needs a picture to follow" in told(BadRecipe, control="edges-sd1")
    assert "nobody" in told(BadRecipe, control="edges-sd1", control_image="nobody")
    assert "needs a picture to look at" in told(BadRecipe, adapter="looks-sd1")
    assert "needs an IP-Adapter" in told(BadRecipe, reference=("ramp",))
    pickle = tmp_path / "style.pt"
    pickle.write_bytes(b"\x80\x04.")
    assert "pickle" in told(UnsafeWeights, embeddings=(str(pickle),))
    truncated = tmp_path / "short.safetensors"
    truncated.write_bytes((shelf / "ink-sd1.safetensors").read_bytes()[:-100])
    assert "truncated" in told(ModelDamaged, loras=(str(truncated),))


def test_vae_of_another_latent_is_refused(sd1: Model, tmp_path: Path) -> None:
    vae = tiny.vae(8, scaling_factor=1.0)
    vae.save_pretrained(tmp_path / "wide")
    with pytest.raises(ModelUnsupported, match="has 8 channels in cells of 8"):
        generate(sd1, [replace(FOX, vae=str(tmp_path / "wide"))])


def test_single_file_vae_is_its_folder_with_the_models_own_scale(sd1: Model, shelf: Path) -> None:
    file = draw(sd1, replace(FOX, vae="hard-vae"))
    own = float(sd1.pipe.vae.config.scaling_factor)
    twin = additions.other_vae()
    twin.register_to_config(scaling_factor=own)
    twin.save_pretrained(shelf / "twin")
    assert file == draw(sd1, replace(FOX, vae="twin"))


def test_controlnet_that_lacks_weights_is_damaged(sd1: Model, shelf: Path, tmp_path: Path) -> None:
    gutted = shutil.copytree(shelf / "edges-sd1", tmp_path / "gutted")
    [weights] = gutted.glob("*.safetensors")
    tensors = load_file(weights)
    tensors.pop("controlnet_mid_block.weight")
    save_file(tensors, weights)
    recipe = replace(FOX, control=str(gutted), control_image="ramp")
    with pytest.raises(ModelDamaged, match="lacks some of its weights"):
        list(generate(sd1, [recipe], sources=PICTURES))


def test_recipe_names_what_was_given_by_path_and_sums_are_kept(sd1: Model, shelf: Path) -> None:
    path = str(shelf / "ink-sd1.safetensors")
    [picture] = generate(sd1, [replace(FOX, loras=(f"{path}:0.8",), vae=str(shelf / "soft-vae"))])
    assert picture.recipe.loras == ("ink-sd1:0.8",)
    assert picture.recipe.vae == "soft-vae"
    assert set(picture.additions["loras"]) == {"ink-sd1"}
    assert set(picture.additions["vae"]) == {"soft-vae"}
    [again] = generate(sd1, [picture.recipe])
    assert encode_png(again) == encode_png(picture)


def test_lora_that_was_trained_here_and_one_whose_alpha_diffusers_wrote_down(
    sd1: Model, tmp_path: Path
) -> None:
    from sovgen.train.adapter import ATTENTION, CONVOLUTIONS, add_adapter, write_adapter

    unet = tiny.sd1().unet
    add_adapter(unet, additions.RANK, (*ATTENTION, *CONVOLUTIONS), seed=2)
    for name, parameter in unet.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    unet.peft_config["default"].lora_alpha = 2 * additions.RANK
    write_adapter(unet, tmp_path, "reds", 1, "sd1")
    folder = tmp_path / "reds"
    # kohya's file holds alphas equal to the rank, diffusers' tells twice that in its metadata
    kohya = draw(sd1, replace(FOX, loras=(f"{folder / 'reds.safetensors'}:1",)))
    assert apart(kohya, draw(sd1, replace(FOX, loras=(f"{folder}:0.5",)))) <= 1
    assert apart(kohya, draw(sd1, FOX)) > 8


def test_folder_of_peft_is_read_with_the_alpha_beside_it(sd1: Model, tmp_path: Path) -> None:
    lora = additions.lora_of(tiny.sd1(), parts=("unet",))
    bare = {}
    for (_, name), (down, up) in lora.items():
        bare[f"base_model.model.{name}.lora_A.weight"] = down
        bare[f"base_model.model.{name}.lora_B.weight"] = up
    (tmp_path / "peft").mkdir()
    save_file(bare, tmp_path / "peft" / "adapter_model.safetensors")
    config = {"r": additions.RANK, "lora_alpha": additions.ALPHA, "peft_type": "LORA"}
    (tmp_path / "peft" / "adapter_config.json").write_text(json.dumps(config))
    additions.save_peft(lora, tmp_path / "flat.safetensors")
    peft = draw(sd1, replace(FOX, loras=(str(tmp_path / "peft"),)))
    assert apart(peft, draw(sd1, replace(FOX, loras=(str(tmp_path / "flat.safetensors"),)))) <= 1
    assert apart(peft, draw(sd1, FOX)) > 8


@pytest.mark.parametrize("name", ["flux_schnell", "sd3", "pixart"])
def test_transformers_take_loras_and_vaes_too(
    tiny_transformers: Path, tmp_path: Path, name: str
) -> None:
    model = load_model(tiny_transformers / name, "cpu", "float32", folders=[tmp_path])
    fox = Recipe("a red fox", seed=11, steps=2, width=64, height=64)
    lora, chance = {}, torch.Generator().manual_seed(3)
    for layer, module in model.pipe.transformer.named_modules():
        if layer.endswith((".to_q", ".to_v")):
            outer, inner = module.weight.shape
            lora[f"transformer.{layer}.lora_A.weight"] = torch.randn(4, inner, generator=chance)
            lora[f"transformer.{layer}.lora_B.weight"] = torch.randn(outer, 4, generator=chance)
    save_file(lora, tmp_path / "ink.safetensors")
    vae = tiny.vae(model.pipe.vae.config.latent_channels, scaling_factor=0.4)
    vae.save_pretrained(tmp_path / "soft")
    plain = draw(model, fox)
    inked = draw(model, replace(fox, loras=("ink:0.5",)))
    assert apart(inked, plain) > 8
    assert apart(draw(model, replace(fox, vae="soft")), plain) > 8
    assert draw(model, fox) == plain
    pipe = tiny.sd1()
    additions.save_kohya(additions.lora_of(pipe), tmp_path / "other.safetensors", pipe)
    with pytest.raises(ModelUnsupported, match=r"other is a LoRA for Stable Diffusion 1\.x"):
        draw(model, replace(fox, loras=("other",)))
    flat = {name.removeprefix("transformer."): tensor for name, tensor in lora.items()}
    if name == "pixart":
        _save_flat(flat, tmp_path / "flat.safetensors")
        assert apart(draw(model, replace(fox, loras=("flat",))), inked) <= 1
        assert draw(model, fox) == plain
    with pytest.raises(ModelUnsupported, match="textual inversion"):
        save_file({"emb_params": torch.ones(1, 64)}, tmp_path / "word.safetensors")
        generate(model, [replace(fox, embeddings=("word",))])


def _save_flat(lora: dict[str, torch.Tensor], path: Path) -> None:
    """kohya's keys, each layer's alpha half of its rank."""
    named = {}
    for key, tensor in lora.items():
        layer, _, half = key.removesuffix(".weight").rpartition(".")
        name = f"lora_transformer_{layer.replace('.', '_')}"
        named[f"{name}.{'lora_down' if half == 'lora_A' else 'lora_up'}.weight"] = tensor
        named[f"{name}.alpha"] = torch.tensor(2.0)
    save_file(named, path)


def test_additions_go_with_a_beginning_and_with_parts_that_take_turns(sd1: Model) -> None:
    turns = replace(with_all("sd1")["control"], prompt="a [red|blue] fox")
    begun = replace(turns, init="disc", strength=0.5)
    assert apart(draw(sd1, turns), draw(sd1, replace(turns, control=None, control_image=None))) > 8
    plain = replace(begun, control=None, control_image=None)
    assert apart(draw(sd1, begun), draw(sd1, plain)) > 4


def test_a_prompt_names_its_loras_as_in_a1111(sd1: Model) -> None:
    text = "<lora:ink-sd1:0.8> a red fox <lyco:wash-sd1>, in snow"
    named = replace(FOX, prompt="a red fox, in snow", loras=("ink-sd1:0.8", "wash-sd1"))
    [written] = generate(sd1, [replace(FOX, prompt=text)])
    assert written.image == draw(sd1, named) != draw(sd1, replace(named, loras=()))
    assert written.recipe.prompt == "a red fox, in snow"
    assert written.recipe.loras == ("ink-sd1:0.8", "wash-sd1:1")


@pytest.mark.parametrize(
    ("prompt", "negative", "why"),
    [
        ("a fox <hypernet:old:1>", "", "Hypernetworks"),
        ("a fox <lora:ink-sd1:strong>", "", "one number"),
        ("a fox <lora:ink-sd1:0.8:0.4>", "", "one number"),
        ("a fox <lora:ink-sd1:99>", "", "out of range"),
        ("a fox <lora:ink-sd1> <lora:ink-sd1:0.5>", "", "given twice"),
        ("a fox <lora:nowhere>", "", "nowhere"),
        ("a fox", "text <lora:ink-sd1:0.8>", "negative"),
    ],
)
def test_what_a_prompt_names_wrongly_is_refused(
    sd1: Model, prompt: str, negative: str, why: str
) -> None:
    with pytest.raises(SovgenError, match=why):
        generate(sd1, [replace(FOX, prompt=prompt, negative=negative)])
