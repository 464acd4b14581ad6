"""Every objective, at tiny size, through the same loop: it runs, writes its part, is read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusionPipeline
from PIL import Image

from sovgen.errors import BadCheckpoint, BadSettings
from sovgen.train import augment
from sovgen.train.assemble import assemble
from sovgen.train.autoencoder import Autoencoder, AutoencoderPlan, psnr, ssim
from sovgen.train.chance import chance
from sovgen.train.clip import Clip, ClipPlan
from sovgen.train.dataset import Dataset
from sovgen.train.diffusion import Diffusion, DiffusionPlan
from sovgen.train.distill import Distill, DistillPlan
from sovgen.train.loop import train
from sovgen.train.metrics import read_metrics
from sovgen.train.plan import Loop, read_plan
from tests.sovgen.train.tiny import UNET, VAE

LOOP = Loop(batch=4, steps=3, warm_up=1, log_every=1, average_every=1, half_life=4)
CLIP = ClipPlan(captions=2, trunk="test_resnet", side=32)
DIFFUSION = DiffusionPlan(sample_steps=2, prompts=("an owl", "a red circle"), grounds=2)


def test_diffusion_trains_and_the_pipeline_loads_what_it_wrote(
    data: Dataset, model: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    objective = Diffusion(data, model, DIFFUSION)
    before = {k: v.clone() for k, v in objective.learner.state_dict().items()}
    train(objective, run, LOOP, minutes=1, precision="bfloat16")
    assert read_metrics(run)[-1]["held_out"]["loss"] > 0
    assert Image.open(run / "sheets" / "00000003.png").size == (72, 36)
    made = tmp_path / "made"
    assert assemble(model, [run], made) == ["unet"]
    pipe = StableDiffusionPipeline.from_pretrained(made)
    moved = [(pipe.unet.state_dict()[k] - w).abs().max() for k, w in before.items()]
    assert 0 < max(moved) < 0.1
    assert json.loads((made / "unet" / "training.json").read_text()) == {"samples": 12}
    assert Diffusion(data, made, DIFFUSION).samples_before == 12


def test_diffusion_asks_for_nothing_and_for_the_noisiest_step_now_and_then(
    data: Dataset, model: Path
) -> None:
    objective = Diffusion(data, model, replace(DIFFUSION, empty=0.25, last=0.25))
    batch = objective.batch(chance(0, 0), 400)
    assert 60 < sum(c == "" for c in batch.captions) < 140
    assert (batch.t == 999).sum() >= 100
    held = {data.pictures[r].caption for r in data.rows(held_out=True)}
    trained = {data.pictures[r].caption for r in data.rows(held_out=False)}
    assert not any(c in batch.captions for c in held - trained)


def test_latents_are_what_the_encoder_makes_of_pictures_on_white(
    data: Dataset, model: Path
) -> None:
    objective = Diffusion(data, model, DIFFUSION)
    assert objective.latents.values.shape == (5, 2, 4, 4, 4)
    assert {names[0] for names in objective.latents.grounds} == {"white"}
    assert objective.latents.std == pytest.approx(float(np.std(objective.latents.values)), rel=1e-2)
    folders = list(data.folder.glob("latents-*"))
    Diffusion(data, model, DIFFUSION)
    assert list(data.folder.glob("latents-*")) == folders


def test_a_flow_matching_model_is_trained_on_the_straight_path(
    data: Dataset, model: Path, tmp_path: Path
) -> None:
    flow = tmp_path / "flow"
    assemble(model, [], flow)
    FlowMatchEulerDiscreteScheduler().save_pretrained(flow / "scheduler")
    objective = Diffusion(data, flow, DIFFUSION)
    batch = objective.batch(chance(0, 0), 2)
    batch = replace(batch, t=torch.tensor([999, 0]))
    x_t, _, wanted, weight = objective._forward(batch.x_0, batch.eps, batch.t)
    torch.testing.assert_close(x_t[0], batch.eps[0])
    torch.testing.assert_close(x_t[1], batch.x_0[1], atol=0.02, rtol=0.02)
    torch.testing.assert_close(wanted, batch.eps - batch.x_0)
    assert weight.tolist() == [1, 1]
    train(objective, tmp_path / "run", LOOP, minutes=1)
    assert (tmp_path / "run" / "sheets" / "00000003.png").exists()


def test_diffusion_starts_from_scratch_with_the_recipes_network(
    data: Dataset, model: Path, tmp_path: Path
) -> None:
    plan = replace(DIFFUSION, unet={**UNET, "block_out_channels": [8, 8]})
    objective = Diffusion(data, model, plan, scratch=True)
    train(objective, tmp_path, LOOP, minutes=1)
    config = json.loads((tmp_path / "model" / "unet" / "config.json").read_text())
    assert config["block_out_channels"] == [8, 8]


def test_a_sharpened_decoder_leaves_the_encoder_alone(
    data: Dataset, model: Path, tmp_path: Path
) -> None:
    objective = Autoencoder(data, model, AutoencoderPlan(crop=16))
    before = {k: v.clone() for k, v in objective.learner.state_dict().items()}
    train(objective, tmp_path / "run", LOOP, minutes=1)
    assemble(model, [tmp_path / "run"], tmp_path / "made")
    made = Autoencoder(data, tmp_path / "made", AutoencoderPlan(crop=16))
    after = made.learner.state_dict()
    same = {k for k, w in before.items() if torch.equal(after[k], w.half().float())}
    assert {k for k in before if k.startswith("vae.encoder")} <= same
    assert {k for k in before if k.startswith("vae.decoder")} - same
    figures = read_metrics(tmp_path / "run")[-1]["held_out"]
    assert 0 < figures["psnr"] < 60 and -1 < figures["ssim"] < 1


def test_an_autoencoder_from_scratch_keeps_latents_at_deviation_one(
    data: Dataset, model: Path, tmp_path: Path
) -> None:
    objective = Autoencoder(data, model, AutoencoderPlan(crop=16, vae=VAE), scratch=True)
    train(objective, tmp_path, LOOP, minutes=1)
    config = json.loads((tmp_path / "model" / "vae" / "config.json").read_text())
    assert config["scaling_factor"] == pytest.approx(1 / objective._deviation(), rel=1e-2)


def test_psnr_and_ssim_of_known_pictures() -> None:
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert ssim(x, x).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert psnr(x + 0.1, x).tolist() == pytest.approx([20, 20], abs=1e-3)
    assert ssim(torch.zeros_like(x), x).max() < 0.1
    # two flat pictures: (2ab + c) / (a^2 + b^2 + c) by hand
    flat = ssim(torch.full((1, 3, 16, 16), 0.5), torch.full((1, 3, 16, 16), 0.6))
    assert float(flat) == pytest.approx((0.6 + 1e-4) / (0.61 + 1e-4), abs=1e-4)


def test_clip_trains_the_image_tower_and_open_clip_reads_it(
    data: Dataset, model: Path, tmp_path: Path
) -> None:
    objective = Clip(data, model, CLIP)
    assert objective.samples_before == 7
    train(objective, tmp_path, LOOP, minutes=1, precision="bfloat16")
    stored = open_clip.factory.load_state_dict(
        str(tmp_path / "model" / "image_encoder" / "open_clip_vision.safetensors")
    )
    tower = open_clip.timm_model.TimmModel(
        "test_resnet", 24, 32, pool="", proj="linear", proj_bias=False
    )
    visual = {k.removeprefix("visual."): v for k, v in stored.items() if k.startswith("visual.")}
    tower.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in visual.items()})
    assert {"text_projection", "logit_scale"} <= stored.keys()
    assert objective.texts.projection.shape == (16, 24)
    assert json.loads((tmp_path / "model/image_encoder/training.json").read_text())["samples"] == 19


def test_clip_from_scratch_trains_both_towers(data: Dataset, model: Path, tmp_path: Path) -> None:
    objective = Clip(data, model, CLIP, scratch=True, seed=3)
    other = Clip(data, model, CLIP, scratch=True, seed=4)
    weight = "text.encoder.layers.0.mlp.fc1.weight"
    start = {k: v.clone() for k, v in objective.learner.state_dict().items()}
    assert not torch.equal(start[weight], other.learner.state_dict()[weight])
    train(objective, tmp_path / "run", LOOP, minutes=1)
    assert not torch.equal(objective.learner.state_dict()[weight], start[weight])
    parts = assemble(model, [tmp_path / "run"], tmp_path / "judge")
    assert parts == ["image_encoder", "text_encoder", "tokenizer"]
    judge = Clip(data, tmp_path / "judge", CLIP)
    told = judge.embed_texts(["an owl"])
    assert told.shape == (1, 24)
    assert torch.linalg.norm(told) == pytest.approx(1, abs=1e-5)


def test_clip_targets_lean_to_names_that_mean_alike(data: Dataset, model: Path) -> None:
    objective = Clip(data, model, replace(CLIP, own=0.75))
    target = objective._target(torch.tensor([0, 2]))
    torch.testing.assert_close(target.sum(1), torch.ones(2))
    assert target[0, 0] >= 0.75 and target[1, 2] >= 0.75


def test_distill_trains_an_adapter_and_leaves_the_teacher(
    data: Dataset, model: Path, tmp_path: Path
) -> None:
    plan = DistillPlan(rank=2, teacher_steps=10, student_steps=2, grounds=2, prompts=("an owl",))
    objective = Distill(data, model, plan)
    loop = replace(LOOP, learning_rate=0.05)
    train(objective, tmp_path, loop, minutes=1)
    pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None)
    teacher = {k: v.clone() for k, v in pipe.unet.state_dict().items()}
    pipe.load_lora_weights(tmp_path / "model" / "few-steps")
    learner = {k.replace(".base_layer", ""): w for k, w in objective.learner.state_dict().items()}
    assert all(torch.equal(learner[name], w) for name, w in teacher.items())
    assert any(w.abs().sum() > 0 for k, w in learner.items() if "lora_B" in k)


def test_consistency_is_the_identity_where_no_noise_is_left(data: Dataset, model: Path) -> None:
    plan = DistillPlan(rank=2, teacher_steps=10, grounds=2)
    objective = Distill(data, model, plan)
    batch = objective.batch(chance(0, 0), 3)
    assert set((batch.t + 1).tolist()) <= set(range(100, 1001, 100))
    states = objective.source.texts.states(["a", "b", "c"])
    found = objective._consistent(objective.learner, batch.x_0, torch.zeros(3).long(), states)
    torch.testing.assert_close(found, batch.x_0)


def test_augmented_pictures_stay_pictures() -> None:
    rng = torch.Generator().manual_seed(0)
    alpha = torch.zeros(6, 1, 16, 16)
    alpha[:, :, 4:12, 4:12] = 1
    x = torch.cat([alpha * 0.5, alpha * 0.2, alpha * 0.1, alpha], dim=1)
    assert torch.equal(augment.recoloured(x, 0.0, rng), x)
    assert torch.equal(augment.faded(x, 0.0, rng), x)
    grey = augment.faded(x, 1.0, rng)
    assert (grey[:, :3].std(1) <= x[:, :3].std(1) + 1e-6).all()
    rim = augment.outlined(x, 1.0, rng)
    assert rim[0, 3].sum() == 10 * 10 and torch.equal(rim[:, :3], x[:, :3])
    turned = augment.moved(x, torch.ones(6, dtype=torch.bool), rng)
    assert turned.shape == x.shape and 0 <= turned.min() and turned.max() <= 1
    y = augment.on_ground(turned, torch.rand(6, 3), rng)
    assert y.shape == (6, 3, 16, 16) and 0 <= y.min() and y.max() <= 1


def test_parts_that_are_missing_are_named(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="has no scheduler"):
        Diffusion(data, tmp_path, DIFFUSION)
    (tmp_path / "run").mkdir()
    with pytest.raises(BadCheckpoint, match="has written no part yet"):
        assemble(tmp_path / "run", [tmp_path / "run"], tmp_path / "made")
    with pytest.raises(BadSettings, match="exists already"):
        assemble(tmp_path, [], tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("diffusion", DiffusionPlan),
        ("autoencoder", AutoencoderPlan),
        ("clip", ClipPlan),
        ("distill", DistillPlan),
    ],
)
def test_packaged_recipes_can_be_read(name: str, kind: type) -> None:
    loop, plan = read_plan(Path(f"data/train/{name}.toml"), name, kind)
    assert loop.learning_rate > 0 and isinstance(plan, kind)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[loop]\nbach = 3", "unknown key 'bach'"),
        ("[clip]\n", r"unknown table \[clip\]"),
        ("[loop", "is not a recipe"),
    ],
)
def test_misspelt_recipes_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(BadSettings, match=said):
        read_plan(tmp_path / "r.toml", "diffusion", DiffusionPlan)


def test_one_picture_is_enough_to_go_on(data: Dataset, model: Path, tmp_path: Path) -> None:
    one = Dataset(tmp_path, data.pixels[:1], data.pictures[:1])
    train(Autoencoder(one, model, AutoencoderPlan(crop=16)), tmp_path / "a", LOOP, minutes=1)
    train(Diffusion(one, model, DIFFUSION), tmp_path / "d", LOOP, minutes=1)
    assert read_metrics(tmp_path / "d")[-1]["held_out"]["loss"] > 0
