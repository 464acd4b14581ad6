"""A LoRA on a few pictures: learned, kept in both kinds of file; it changes what is drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from index.bundled import bundled_model
from sovgen.errors import BadDataset, ModelUnsupported
from sovgen.train.chance import chance
from sovgen.train.examples import Example, buckets, nearest_bucket, prepare_examples
from sovgen.train.loop import train
from sovgen.train.lora import Lora, LoraPlan
from sovgen.train.metrics import read_metrics
from sovgen.train.plan import Loop, read_plan
from tests.sovgen.train.tiny import UNET

LOOP = Loop(
    batch=4, steps=12, warm_up=1, learning_rate=0.05, log_every=1, average_every=1, half_life=4
)
PLAN = LoraPlan(rank=2, sample_steps=2, prompts=("an owl",))
SIZES = [(40, 40), (64, 32), (32, 64), (300, 20)]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    """Red pictures of several shapes, one of them with transparency."""
    folder = tmp_path_factory.mktemp("set")
    given = []
    for i, size in enumerate(SIZES):
        mode, colour = ("RGBA", (255, 0, 0, 128)) if i == 0 else ("RGB", (255, 0, 0))
        Image.new(mode, size, colour).save(folder / f"{i}.png")
        given.append(Example(folder / f"{i}.png", f"picture {i}" if i else ""))
    return given


def pipe_of(model: Path) -> StableDiffusionPipeline:
    pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def drawn(pipe: StableDiffusionPipeline) -> np.ndarray:
    seed = torch.Generator().manual_seed(0)
    return pipe("an owl", num_inference_steps=3, generator=seed, output_type="np").images[0]


def test_a_lora_is_learned_loaded_and_changes_what_is_drawn(
    model: Path, examples: list[Example], tmp_path: Path
) -> None:
    objective = Lora(pipe_of(model), examples, PLAN, title="reds")
    train(objective, tmp_path, LOOP, minutes=1, precision="bfloat16")
    folder = tmp_path / "model" / "reds"
    before, kohya = pipe_of(model), pipe_of(model)
    plain = drawn(before)
    before.load_lora_weights(folder)
    kohya.load_lora_weights(folder, weight_name="reds.safetensors")
    assert np.abs(drawn(before) - plain).max() > 0.01
    np.testing.assert_allclose(drawn(before), drawn(kohya), atol=2e-3)
    assert (tmp_path / "sheets" / "00000012.png").exists()


def test_kohya_keys_are_those_that_other_programs_read(
    model: Path, examples: list[Example], tmp_path: Path
) -> None:
    objective = Lora(pipe_of(model), examples, PLAN, title="reds")
    objective.write(tmp_path, 1)
    keys = load_file(tmp_path / "reds" / "reds.safetensors")
    stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
    assert keys[f"{stem}.lora_down.weight"].shape == (2, 16)
    assert keys[f"{stem}.lora_up.weight"].shape == (16, 2)
    assert keys[f"{stem}.alpha"] == 2
    peft = load_file(tmp_path / "reds" / "pytorch_lora_weights.safetensors")
    assert len(peft) * 3 == len(keys) * 2
    assert all(".lora_A." in k or ".lora_B." in k for k in peft)


def test_only_the_adapter_learns(model: Path, examples: list[Example], tmp_path: Path) -> None:
    pipe = pipe_of(model)
    base = {k: w.clone() for k, w in pipe.unet.state_dict().items()}
    train(Lora(pipe, examples, PLAN, title="reds"), tmp_path, LOOP, minutes=1)
    after = {k.replace(".base_layer", ""): w for k, w in pipe.unet.state_dict().items()}
    assert all(torch.equal(after[k], w) for k, w in base.items())
    told = [m["loss"] for m in read_metrics(tmp_path) if "loss" in m]
    assert len(told) == 12 and np.isfinite(told).all()


def test_a_prior_is_drawn_by_the_model_itself_and_weighs_in(
    model: Path, examples: list[Example], tmp_path: Path
) -> None:
    notices: list[str] = []
    plan = LoraPlan(rank=2, prior=2, prior_steps=2, prior_weight=0.5)
    objective = Lora(pipe_of(model), examples, plan, title="reds", on_notice=notices.append)
    assert notices == ["Drawing 2 pictures of the model's own, to hold on to."]
    batch = objective.batch(chance(0, 0), 6)
    # The set's come first, grouped by size; then as many of the model's own, half as heavy.
    count = np.cumsum([len(s.t) for s in batch])
    own, prior = (np.flatnonzero(side) for side in (count <= 6, count > 6))
    assert count[own[-1]] == 6 and count[-1] == 12
    weights = np.array([s.weight for s in batch])
    assert weights[own].sum() == pytest.approx(1.0)
    assert weights[prior].sum() == pytest.approx(0.5)
    whole, _ = objective.loss(objective.learner, batch)
    parts = [objective.loss(objective.learner, [s])[0] for s in batch]
    assert float(whole) == pytest.approx(float(sum(parts)), rel=1e-4)


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_a_prior_adds_its_share_whatever_it_weighs(
    model: Path, examples: list[Example], weight: float
) -> None:
    plan = LoraPlan(rank=2, prior=2, prior_steps=2, prior_weight=weight)
    objective = Lora(pipe_of(model), examples, plan, title="reds")
    assert sum(s.weight for s in objective.batch(chance(0, 0), 6)) == pytest.approx(1 + weight)


def test_a_prior_without_captions_is_what_the_model_draws_unasked(
    model: Path, examples: list[Example]
) -> None:
    bare = [Example(e.path, "") for e in examples]
    plan = LoraPlan(rank=2, word="reds", prior=2, prior_steps=2)
    objective = Lora(pipe_of(model), bare, plan, title="reds")
    assert objective._captions[-2:] == ["", ""]


def test_mixed_sizes_go_into_buckets_on_the_models_grid(
    model: Path, examples: list[Example]
) -> None:
    pipe = pipe_of(model)
    pipe.unet.register_to_config(sample_size=8)
    objective = Lora(pipe, examples, PLAN, title="reds")
    shapes = [tuple(z.shape) for z in objective._latents]
    assert shapes == [(4, 8, 8), (4, 6, 10), (4, 10, 6), (4, 6, 10)]
    assert {s.x_0.shape[1:] for s in objective.batch(chance(0, 1), 20)} == set(shapes)


def test_buckets_keep_the_area_and_the_grid() -> None:
    sizes = buckets(512 * 512, 64)
    assert (512, 512) in sizes and (640, 384) in sizes and (384, 640) in sizes
    assert all(w % 64 == h % 64 == 0 and w * h <= 512 * 512 for w, h in sizes)
    assert nearest_bucket(1000, 1000, sizes) == (512, 512)
    assert nearest_bucket(4000, 100, sizes) == (768, 320)


def prepared(examples: list[Example], word: str, notices: list[str]) -> list[str]:
    done = prepare_examples(examples, 32 * 32, 16, word, notices.append)
    assert all(p.pixels.abs().max() <= 1 for p in done)
    return [p.caption for p in done]


def test_unreadable_files_are_left_out_and_named(examples: list[Example], tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(examples[1].path.read_bytes()[:40])
    (tmp_path / "text.png").write_text("no picture")
    bad = [Example(tmp_path / n, "x") for n in ("torn.png", "text.png", "gone.png")]
    notices: list[str] = []
    assert prepared([*bad, *examples], "", notices) == ["", "picture 1", "picture 2", "picture 3"]
    assert [n.split(" (")[0] for n in notices] == [
        f"Left out, unreadable: {n}" for n in ("torn.png", "text.png", "gone.png")
    ]
    with pytest.raises(BadDataset, match="None of the 3 pictures can be read"):
        prepared(bad, "", notices)


def test_one_picture_is_told_and_no_captions_are_refused(examples: list[Example]) -> None:
    notices: list[str] = []
    assert prepared(examples[1:2], "foxy", notices) == ["picture 1, foxy"]
    assert notices[0].startswith("Only one picture")
    with pytest.raises(BadDataset, match="has a caption"):
        prepared(examples[:1], "", notices)
    assert prepared(examples[:1], "foxy", notices) == ["foxy"]


def test_transparent_pictures_are_laid_on_white(examples: list[Example]) -> None:
    pixels = prepare_examples(examples[:1], 32 * 32, 16, "w", lambda text: None)[0].pixels
    np.testing.assert_allclose(pixels[:, 16, 16], [1, 0, 0], atol=0.02)


@pytest.fixture
def sdxl() -> Callable[[], StableDiffusionXLPipeline]:
    """An SDXL of the real classes: two text towers, sizes told to the denoiser."""

    def make() -> StableDiffusionXLPipeline:
        torch.manual_seed(0)
        shape = CLIPTextConfig(
            hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=32, vocab_size=49408, projection_dim=16,
        )  # fmt: skip
        unet = UNet2DConditionModel(
            **{**UNET, "cross_attention_dim": 32}, addition_embed_type="text_time",
            addition_time_embed_dim=4, projection_class_embeddings_input_dim=16 + 6 * 4,
        )  # fmt: skip
        channels = (8, 8, 8, 8)
        vae = AutoencoderKL(
            block_out_channels=channels, norm_num_groups=4, latent_channels=4,
            down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
        )  # fmt: skip
        tokenizer = CLIPTokenizer.from_pretrained(bundled_model() / "tokenizer")
        return StableDiffusionXLPipeline(
            vae, CLIPTextModel(shape), CLIPTextModelWithProjection(shape), tokenizer, tokenizer,
            unet, EulerDiscreteScheduler(beta_schedule="scaled_linear"),
            force_zeros_for_empty_prompt=True, add_watermarker=False,
        )  # fmt: skip

    return make


def test_sdxl_is_taught_with_pooled_text_and_sizes(
    sdxl: Callable[[], StableDiffusionXLPipeline], examples: list[Example], tmp_path: Path
) -> None:
    train(Lora(sdxl(), examples, PLAN, title="reds"), tmp_path, LOOP, minutes=1)
    pipe = sdxl()
    pipe.load_lora_weights(tmp_path / "model" / "reds")
    assert pipe.get_active_adapters() == ["default_0"]
    assert read_metrics(tmp_path)[-1]["held_out"]["loss"] > 0


def test_a_model_that_cannot_be_taught_so_is_refused(model: Path, examples: list[Example]) -> None:
    pipe = pipe_of(model)
    pipe.scheduler = DDIMScheduler.from_config({**pipe.scheduler.config, "prediction_type": "x"})
    with pytest.raises(ModelUnsupported, match="Unknown prediction 'x'"):
        Lora(pipe, examples, PLAN, title="reds")
    inpainting = pipe_of(model)
    inpainting.unet = UNet2DConditionModel(**{**UNET, "in_channels": 9})
    with pytest.raises(ModelUnsupported, match="cannot be trained on a StableDiffusionPipeline"):
        Lora(inpainting, examples, PLAN, title="reds")


def test_the_packaged_recipe_can_be_read() -> None:
    loop, plan = read_plan(Path("data/train/lora.toml"), "lora", LoraPlan)
    assert loop.batch == 4 and plan.rank == 8
