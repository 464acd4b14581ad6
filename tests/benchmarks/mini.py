"""The bars of the bundled model, one row each: `python -m tests.benchmarks mini [PART...]`.

Parts: autoencoder words clip diffusion speed sheet; all of them without a name. The data set is
built from data/train/icons.toml into build/benchmarks/icons when it is not there; its test split is
OpenMoji, which nothing was trained on. The 500 prompts ask for an object in a style in which no set
draws it, on a named ground. `--judge DIR` is a model folder whose CLIP was trained from scratch:

    sovgen train clip --scratch --seed 7 --data build/benchmarks/icons --run RUN
    sovgen train assemble RUN --to build/benchmarks/judge

Read once a release, never to choose between trials: for that there is the held-out slice.
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from index.bundled import bundled_model, data_folder
from sovgen.errors import BadDataset
from sovgen.train.autoencoder import psnr, ssim
from sovgen.train.captions import with_article
from sovgen.train.chance import chance
from sovgen.train.corpus import words_of
from sovgen.train.dataset import Dataset, build, open_dataset
from sovgen.train.diffusion import load_vae
from sovgen.train.grounds import Ground, draw_ground, laid_on
from sovgen.train.latents import encode
from sovgen.train.sheets import sheet
from sovgen.train.teacher import find_teacher, taught
from tests.benchmarks.judging import Eye, held_out_prompts, judged
from tests.benchmarks.measure import print_table, spread

if TYPE_CHECKING:
    from sovgen.models.model import Model

FOLDER = Path("build/benchmarks")
WORDNET = Path("/usr/share/wordnet")
WHOLE, PAIRS, DRAWN = 1000, 5000, 500
WHITE = Ground("white", (1.0, 1.0, 1.0))
FORMS = ("{name}", "{a_name}, outlined style", "an illustration of {a_name}")
NEAR = (("puppy", "dog"), ("automobile", "car"), ("kitten", "cat"), ("infant", "baby"))
FAR = (("car", "banana"), ("dog", "church"), ("rose", "hammer"), ("moon", "shoe"))
SHEET = [line for line in Path(__file__).with_name("sheet.txt").read_text().splitlines() if line]
Row = tuple[str, str, str]


def main(arguments: list[str]) -> None:
    """Measures the parts named, prints one table, and writes the sheets as PNG."""
    parts = {
        "autoencoder": autoencoder, "words": words, "clip": clip, "diffusion": diffusion,
        "speed": speed, "sheet": draw_sheet,
    }  # fmt: skip
    parser = argparse.ArgumentParser(prog="mini", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=" ".join(parts))
    parser.add_argument("--model", type=Path, default=bundled_model())
    parser.add_argument("--judge", type=Path, default=FOLDER / "judge")
    parser.add_argument("--data", type=Path, default=FOLDER / "icons")
    parser.add_argument("--prompts", type=int, default=DRAWN, help="How many of the 500 to draw.")
    given = parser.parse_args(arguments)
    rows = [row for name in given.parts or parts for row in parts[name](given)]
    print_table("sovgen-mini against its bars", ("part", "figure", "bar"), rows)


def dataset(folder: Path, split: str = "pictures") -> Dataset:
    """The data set, built when it is not there yet."""
    if not (folder / "dataset.json").exists():
        recipe = data_folder() / "train" / "icons.toml"
        build(recipe, folder, packages=FOLDER / "icon-packages", workers=2, on_notice=print)
    return open_dataset(folder, split)


@torch.inference_mode()
def autoencoder(given: argparse.Namespace) -> list[Row]:
    """PSNR, SSIM and shift of colour on 1,000 pictures never seen; time to decode one."""
    vae, data = load_vae(given.model), dataset(given.data, "test")
    figures, shifts = [], []
    for i in range(0, min(WHOLE, len(data.pictures)), 50):
        grounds = [draw_ground(chance(1, j).numpy, 0.5) for j in range(i, i + 50)]
        x = laid_on(data.pixels[i : i + 50], grounds)
        y = (vae.decode(encode(vae, x * 2 - 1)).sample / 2 + 0.5).clamp(0, 1)
        figures += list(zip(psnr(y, x).tolist(), ssim(y, x).tolist(), strict=True))
        shifts.append((y - x).mean(dim=(0, 2, 3)))
    quality, likeness = (statistics.fmean(f) for f in zip(*figures, strict=True))
    shift = torch.stack(shifts).mean(0).abs().max().item() * 255
    return [
        ("autoencoder: PSNR", f"{quality:.2f} dB", ">= 28"),
        ("autoencoder: SSIM", f"{likeness:.3f}", ">= 0.93"),
        ("autoencoder: mean shift of a channel", f"{shift:.2f} of 255", "not to be seen"),
        ("autoencoder: decode, one core", f"{decode_time(vae)} ms", "< 15"),
    ]


def decode_time(vae: torch.nn.Module) -> str:
    """Milliseconds a picture, one thread, in the dtype that is chosen by itself."""
    from sovgen.models.device import choose_place

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    dtype = getattr(torch, choose_place("cpu").dtype)
    fast, z = vae.to(dtype), torch.randn(1, vae.config.latent_channels, 16, 16).to(dtype)
    z = z.contiguous(memory_format=torch.channels_last)
    times = []
    for _ in range(12):
        start = time.perf_counter()
        fast.decode(z)
        times.append(1000 * (time.perf_counter() - start))
    vae.float()
    torch.set_num_threads(threads)
    return spread(times[2:], 1)


def words(given: argparse.Namespace) -> list[Row]:
    """Likeness of synonyms, and correlation with the teacher on 5,000 pairs of unseen phrases."""
    eye = Eye(given.model)
    near, far = (
        [f"{a}/{b} {float(eye.texts([a])[0] @ eye.texts([b])[0]):.2f}" for a, b in pairs]
        for pairs in (NEAR, FAR)
    )
    rows: list[Row] = [("words: synonyms", ", ".join(near), "near")]
    rows.append(("words: strangers", ", ".join(far), "far"))
    try:
        return [*rows, ("words: correlation with all-MiniLM-L6-v2", correlation(eye), ">= 0.85")]
    except BadDataset as error:
        return [*rows, ("words: correlation with all-MiniLM-L6-v2", error.hint, ">= 0.85")]


def correlation(eye: Eye) -> str:
    """Of cosine likeness over pairs of fresh phrases, half of which share their noun."""
    rng = chance(5, 0).numpy
    lemmas, glosses = words_of(WORDNET, rng)
    nouns = [lemmas[int(i)] for i in rng.choice(len(lemmas), PAIRS)]
    first = [f"an old {n} beside a river" for n in nouns]
    others = [glosses[int(i)] for i in rng.choice(len(glosses), PAIRS // 2)]
    second = [f"someone saw the {n} yesterday" for n in nouns[: PAIRS - len(others)]] + others
    teacher = [taught(find_teacher(), p).float() for p in (first, second)]
    ours = [eye.texts(p) for p in (first, second)]
    likeness = torch.stack([(a * b).sum(1) for a, b in (teacher, ours)])
    return f"{float(torch.corrcoef(likeness)[0, 1]):.3f}"


def clip(given: argparse.Namespace) -> list[Row]:
    """Zero-shot on OpenMoji among the names that occur in training captions."""
    data, eye = dataset(given.data, "test"), Eye(given.model)
    pictures = eye.pictures(laid_on(data.pixels[:], [WHITE] * len(data.pictures)))
    names = sorted({p.caption for p in data.pictures})
    forms = [eye.texts([f.format(name=n, a_name=with_article(n)) for n in names]) for f in FORMS]
    rows = torch.nn.functional.normalize(torch.stack(forms).sum(0), dim=-1)
    y = torch.tensor([names.index(p.caption) for p in data.pictures])
    scores = pictures @ rows.T
    rank = (scores > scores.gather(1, y[:, None])).sum(1)
    first = scores.T.argsort(dim=1, descending=True)[:, :10]
    recall = (y[first] == torch.arange(len(names))[:, None]).any(1).float().mean()
    return [
        (f"image tower: top-1 of {len(names)}", f"{(rank < 1).float().mean():.1%}", ">= 45 %"),
        (f"image tower: top-5 of {len(names)}", f"{(rank < 5).float().mean():.1%}", ">= 70 %"),
        ("image tower: text to image recall@10", f"{recall:.1%}", ">= 65 %"),
    ]


def diffusion(given: argparse.Namespace) -> list[Row]:
    """500 held-out prompts, drawn once, and what an independent judge says of them."""
    if not given.judge.is_dir():
        return [("diffusion", f"no judge in {given.judge}: see the head of this file", "")]
    data = dataset(given.data)
    asked = held_out_prompts(data, DRAWN)[: given.prompts]
    images = draw(given.model, [a.prompt for a in asked], steps=20, guidance=None)
    sheet(images[:64]).save(FOLDER / "held-out.png")
    x = torch.stack([torch.from_numpy(np.array(i)) for i in images]).permute(0, 3, 1, 2) / 255
    return judged(Eye(given.judge), data, asked, x)


def speed(given: argparse.Namespace) -> list[Row]:
    """Seconds for one picture from a warm process, with all cores."""
    draw(given.model, ["a cat"], steps=2, guidance=None)
    whole, few = [], []
    for _ in range(7):
        for steps, guidance, times in ((20, None, whole), (4, 1.0, few)):
            start = time.perf_counter()
            draw(given.model, ["a red fox"], steps=steps, guidance=guidance)
            times.append(time.perf_counter() - start)
    return [
        ("speed: 20 steps, 128x128", f"{spread(whole)} s", "< 1.5"),
        ("speed: 4 steps as the student takes them", f"{spread(few)} s", "< 0.5"),
    ]


def draw_sheet(given: argparse.Namespace) -> list[Row]:
    """64 uncurated pictures, seeds 0 to 63."""
    path = FOLDER / "sheet.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet(draw(given.model, SHEET, steps=20, guidance=None)).save(path)
    return [("looks", str(path), "a person would accept them as clip-art")]


def draw(model: Path, prompts: list[str], steps: int, guidance: float | None) -> list[Image.Image]:
    """Prompt i from seed i, by the product's own generator; the model stays loaded."""
    from sovgen.generate.generator import generate
    from sovgen.recipe import Recipe

    recipes = [
        Recipe(prompt, seed=i, steps=steps, guidance=guidance) for i, prompt in enumerate(prompts)
    ]
    return [picture.image for picture in generate(_loaded(model), recipes)]


@cache
def _loaded(model: Path) -> Model:
    from sovgen.models.load import load_model

    return load_model(model)
