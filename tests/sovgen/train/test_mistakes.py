"""Mistakes in recipes, models and run folders: one clear line, nothing lost, nothing ruined."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

from sovgen.errors import BadCheckpoint, BadSettings
from sovgen.train.assemble import assemble
from sovgen.train.autoencoder import Autoencoder, AutoencoderPlan
from sovgen.train.chance import chance
from sovgen.train.dataset import Dataset
from sovgen.train.diffusion import Diffusion, DiffusionPlan
from sovgen.train.distill import Distill, DistillPlan
from sovgen.train.latents import cached_latents
from sovgen.train.loop import train
from sovgen.train.metrics import append_metrics, read_metrics
from sovgen.train.plan import Loop, read_plan
from tests.sovgen.train.test_loop import LOOP
from tests.sovgen.train.tiny import UNET, Line

DIFFUSION = DiffusionPlan(sample_steps=2, prompts=("an owl",), grounds=2)


@pytest.fixture
def other(model: Path, tmp_path: Path) -> Path:
    """A copy of the model, to be changed."""
    return Path(shutil.copytree(model, tmp_path / "other"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[loop]\nbatch = 0", "batch is at least 1"),
        ("[loop]\nlog_every = 0", "log_every is at least 1"),
        ("[loop]\nlearning_rate = nan", "learning_rate = nan is not what it is to be"),
        ('[loop]\nclip = "x"', "clip = 'x' is not what it is to be"),
        ("[loop]\nbetas = [0.9]", "betas"),
        ("[loop]\ncompile = 1", "compile = 1"),
        ("loop = 3", "is to be a table"),
        ("[diffusion]\nprompts = []", "prompts are at least 1"),
        ("[diffusion]\nprompts = [3]", "prompts"),
    ],
)
def test_settings_of_another_kind_or_size_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(BadSettings, match=said):
        read_plan(tmp_path / "r.toml", "diffusion", DiffusionPlan)


def test_whole_numbers_may_stand_for_others(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("[loop]\nclip = 1\nbetas = [0, 1]")
    assert read_plan(tmp_path / "r.toml", "diffusion", DiffusionPlan)[0].clip == 1


def test_what_the_models_scheduler_predicts_is_learnt(data: Dataset, other: Path) -> None:
    DDIMScheduler(beta_schedule="scaled_linear", prediction_type="epsilon").save_pretrained(
        other / "scheduler"
    )
    objective = Diffusion(data, other, DIFFUSION)
    batch = objective.batch(chance(0, 0), 4)
    _, _, wanted, weight = objective._forward(batch.x_0, batch.eps, torch.tensor([0, 9, 99, 999]))
    assert torch.equal(wanted, batch.eps)
    assert weight[0] < DIFFUSION.floor and float(weight[-1]) == pytest.approx(1.0)
    student = Distill(data, other, DistillPlan(rank=2, teacher_steps=10))
    at_rest = student._consistent(
        student.learner, batch.x_0, torch.zeros(4).long(), student.source.texts.states(["a"] * 4)
    )
    assert torch.allclose(at_rest, batch.x_0, atol=1e-3)
    assert student._pipe().scheduler.config.original_inference_steps == 10


def test_models_of_another_architecture_are_refused(data: Dataset, other: Path) -> None:
    blocks = {"down_block_types": ["DownEncoderBlock2D"], "up_block_types": ["UpDecoderBlock2D"]}
    kl = AutoencoderKL(block_out_channels=[32], latent_channels=4, **blocks)
    kl.save_pretrained(other / "vae")
    with pytest.raises(BadCheckpoint, match="is a AutoencoderKL"):
        Autoencoder(data, other, AutoencoderPlan(crop=16))
    with pytest.raises(BadCheckpoint, match="takes 4 channels; the latents have 5"):
        AutoencoderKL(block_out_channels=[32], latent_channels=5, **blocks).save_pretrained(
            other / "vae"
        )
        Diffusion(data, other, DIFFUSION)


def test_a_denoiser_of_two_towers_is_refused(data: Dataset, other: Path) -> None:
    wide = {**UNET, "cross_attention_dim": 32}
    UNet2DConditionModel(**wide).save_pretrained(other / "unet")
    with pytest.raises(BadCheckpoint, match="does not read a text of width 16"):
        Diffusion(data, other, DIFFUSION)


def test_torn_weights_are_named(data: Dataset, other: Path) -> None:
    [weights] = (other / "unet").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(BadCheckpoint, match="unet cannot be read"):
        Diffusion(data, other, DIFFUSION)
    weights.unlink()
    with pytest.raises(BadCheckpoint, match="unet cannot be read"):
        Diffusion(data, other, DIFFUSION)


def test_squares_larger_than_the_pictures_are_refused(data: Dataset, model: Path) -> None:
    with pytest.raises(BadSettings, match="crop = 64 does not fit"):
        Autoencoder(data, model, AutoencoderPlan(crop=64))


def test_what_no_model_has_is_not_put_into_one(model: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / "model" / "foxes").mkdir(parents=True)
    with pytest.raises(BadCheckpoint, match="is no part of"):
        assemble(model, [tmp_path / "run"], tmp_path / "made")
    assert not (tmp_path / "made").exists() and not list(tmp_path.glob(".made*"))


def test_torn_latents_are_made_again(data: Dataset, model: Path, tmp_path: Path) -> None:
    copy = Dataset(tmp_path, data.pixels, data.pictures)
    vae = Diffusion(data, model, DIFFUSION).vae
    first = cached_latents(copy, vae, 2, "cpu", lambda text: None).values.copy()
    [folder] = tmp_path.glob("latents-*")
    (folder / "latents.f16").write_bytes(b"torn")
    assert (cached_latents(copy, vae, 2, "cpu", lambda text: None).values == first).all()
    (folder / "latents.json").write_text("{")
    assert (cached_latents(copy, vae, 2, "cpu", lambda text: None).values == first).all()


def test_two_that_encode_at_once_do_not_disturb_each_other(
    data: Dataset, model: Path, tmp_path: Path
) -> None:
    """As the processes of one training do; here the other one ends while this one works."""
    copy = Dataset(tmp_path, data.pixels, data.pictures)
    vae = Diffusion(data, model, DIFFUSION).vae
    done = threading.Event()

    def meanwhile(text: str) -> None:
        if not done.is_set():
            done.set()
            cached_latents(copy, vae, 2, "cpu", lambda text: None)

    assert cached_latents(copy, vae, 2, "cpu", meanwhile).values.shape[0] == len(data.pictures)
    assert done.is_set() and not list(tmp_path.glob(".latents*"))


def test_what_is_logged_after_a_kill_is_what_would_have_been(tmp_path: Path) -> None:
    loop = replace(LOOP, log_every=5, steps=10)
    train(Line(), tmp_path / "whole", loop, minutes=1)
    train(Line(), tmp_path / "broken", replace(loop, steps=7), minutes=1)
    train(Line(), tmp_path / "broken", loop, minutes=1)
    told = [
        [(m["step"], m["loss"]) for m in read_metrics(run) if "loss" in m]
        for run in (tmp_path / "whole", tmp_path / "broken")
    ]
    assert told[0] == told[1] and len(told[0]) == 2


def test_lines_of_a_run_that_kept_nothing_are_taken_back(tmp_path: Path) -> None:
    append_metrics(tmp_path, 1, 8, {"loss": 1.0})
    train(Line(), tmp_path, replace(LOOP, steps=3), minutes=1)
    steps = [m["step"] for m in read_metrics(tmp_path) if "loss" in m]
    assert steps == [1, 2, 3]


def test_a_torn_line_of_metrics_stops_nothing(tmp_path: Path) -> None:
    train(Line(), tmp_path, replace(LOOP, steps=3), minutes=1)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "los{"step": 3}\n[]\n')
    assert train(Line(), tmp_path, replace(LOOP, steps=5), minutes=1).step == 5
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        assert "step" in json.loads(line)


def test_loops_say_what_they_are_least() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Loop(learning_rate=0)
