"""The language of prompts: what the text towers read, and what steers each step."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from sovgen.errors import BadRecipe
from sovgen.generate.conditioning import condition
from sovgen.generate.generator import generate
from sovgen.generate.schedulers import build_scheduler
from sovgen.generate.texts import encode
from sovgen.generate.turns import at_step
from sovgen.generate.weights import Piece, read_weights
from sovgen.models.load import Model, load_model
from sovgen.recipe import Recipe
from tests import tiny
from tests.sovgen.test_generate import share_within_one

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FOX = Recipe("a red fox", seed=5, steps=4, guidance=4.0, width=64, height=64)
LONG = " ".join(f"word{n}" for n in range(40))


@pytest.fixture(scope="module")
def models(tiny_models: Path) -> dict[str, Model]:
    return {n: load_model(tiny_models / n, device="cpu", dtype="float32") for n in tiny.PIPES}


@pytest.fixture(scope="module")
def sd1(models: dict[str, Model]) -> Model:
    return models["sd1"]


def draw(model: Model, recipe: Recipe) -> Image.Image:
    [picture] = generate(model, [recipe])
    return picture.image


def states(model: Model, text: str, clip_skip: int | None = None) -> torch.Tensor:
    with torch.inference_mode():
        return encode(model.pipe, text, clip_skip)[0]


@pytest.mark.parametrize(
    ("prompt", "chunks"),
    [
        ("a fox", [[("a fox", 1)]]),
        ("a (red) fox", [[("a ", 1), ("red", 1.1), (" fox", 1)]]),
        ("a (red:1.3)", [[("a ", 1), ("red", 1.3)]]),
        ("(a (b:1.5)) [c]", [[("a ", 1.1), ("b", 1.65), (" ", 1), ("c", 1 / 1.1)]]),
        (r"a \(b\) \[c", [[("a (b) [c", 1)]]),
        ("(a BREAK b:2) c", [[("a ", 2)], [(" b", 2), (" c", 1)]]),
        ("a) b (c", [[("a) b ", 1), ("c", 1.1)]]),
        ("x:1.3) y", [[("x:1.3) y", 1)]]),
        ("(a:0)", [[("a", 0)]]),
        ("", [[]]),
    ],
)
def test_weights_are_read(prompt: str, chunks: list[list[tuple[str, float]]]) -> None:
    read = read_weights(prompt)
    assert [[p.text for p in chunk] for chunk in read] == [[t for t, _ in c] for c in chunks]
    weights = [p.weight for chunk in read for p in chunk]
    assert weights == pytest.approx([w for chunk in chunks for _, w in chunk])
    assert read_weights("a fox") == [[Piece("a fox")]]


def test_weights_are_those_of_automatic1111s_own_example() -> None:
    [chunk] = read_weights("a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).")
    assert [piece.text for piece in chunk] == [
        *("a ", "house", " ", "on", " a ", "hill", ", sun, ", "sky", ".")
    ]
    assert [piece.weight for piece in chunk] == pytest.approx(
        [1.0, 1.573, 1.1, 1.0, 1.1, 0.55, 1.1, 1.4641, 1.1]
    )


@pytest.mark.parametrize(
    ("prompt", "turns"),
    [
        ("a fox: [red] (big:1.2)", ["a fox: [red] (big:1.2)"] * 4),
        ("a [cat|dog]", ["a cat", "a dog", "a cat", "a dog"]),
        ("[a|(b|c:1.2)|d:e]", ["a", "(b|c:1.2)", "d:e", "a"]),
        ("[[a|b]|c]", ["a", "c", "a", "c"]),
        ("[a:b:0.5]", ["a", "a", "b", "b"]),
        ("[a:1]", ["", "a", "a", "a"]),
        ("[a::3]", ["a", "a", "a", ""]),
        (r"\[a|b\] [c", [r"\[a|b\] [c"] * 4),
    ],
)
def test_turns_are_taken(prompt: str, turns: list[str]) -> None:
    assert [at_step(prompt, step, 4) for step in range(4)] == turns


@pytest.mark.parametrize("family", tiny.PIPES)
def test_plain_prompt_is_encoded_as_the_pipeline_itself_does(
    models: dict[str, Model], family: str
) -> None:
    pipe = models[family].pipe
    for text in ("a red fox", "", "d\u00e9j\u00e0 vu: 3 | 4, \U0001f98a"):
        with torch.inference_mode():
            given = pipe.encode_prompt(
                text, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
            )
            ours = encode(pipe, text, None)
        theirs = [part for part in given if part is not None]
        assert all(torch.equal(a, b) for a, b in zip(theirs, ours, strict=True))


@pytest.mark.parametrize("family", tiny.PIPES)
def test_weight_moves_a_words_state_away_from_the_empty_text(
    models: dict[str, Model], family: str
) -> None:
    plain, empty, weighted = (
        states(models[family], text) for text in ("a red fox", "", "a (red:1.5) fox")
    )
    assert torch.equal(weighted[:, [0, 1, 3, 4]], plain[:, [0, 1, 3, 4]])
    expected = empty[:, 2] + 1.5 * (plain[:, 2] - empty[:, 2])
    assert torch.allclose(weighted[:, 2], expected)
    assert not torch.equal(weighted[:, 2], plain[:, 2])


def test_long_prompt_is_read_to_its_end_in_chunks(sd1: Model) -> None:
    whole = states(sd1, LONG)
    assert whole.shape[1] == 2 * 77
    tokenizer = sd1.pipe.tokenizer
    beginning = tokenizer.decode(tokenizer(LONG)["input_ids"][1:76])
    assert torch.equal(whole[:, :77], states(sd1, beginning))
    [picture] = generate(sd1, [replace(FOX, prompt=LONG)])
    assert picture.notices == ()
    assert picture.image != draw(sd1, replace(FOX, prompt=beginning))


def test_break_begins_a_new_chunk(sd1: Model) -> None:
    whole = states(sd1, "a red fox BREAK in the snow")
    assert torch.equal(whole, torch.cat([states(sd1, "a red fox"), states(sd1, "in the snow")], 1))


@pytest.mark.parametrize(("family", "usual"), [("sd1", 1), ("sd2", 1), ("sdxl", 2)])
def test_clip_skip_counts_layers_from_the_last(
    models: dict[str, Model], family: str, usual: int
) -> None:
    model = models[family]
    assert torch.equal(states(model, "a fox", usual), states(model, "a fox"))
    assert not torch.equal(states(model, "a fox", 3 - usual), states(model, "a fox"))
    recipe = replace(FOX, clip_skip=2)
    assert draw(model, recipe) == draw(model, recipe)
    with pytest.raises(BadRecipe, match="leaves .* no layer"):
        generate(model, [replace(FOX, clip_skip=24)])


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_batch_of_prompts_of_any_length_gives_what_each_alone_gives(
    models: dict[str, Model], family: str
) -> None:
    recipes = [
        replace(FOX, seed=1),
        replace(FOX, seed=2, prompt=LONG, negative="blue"),
        replace(FOX, seed=3, prompt="a BREAK b BREAK c", negative=LONG),
        replace(FOX, seed=4, prompt="a [cat|dog] (big:1.4)"),
    ]
    together = list(generate(models[family], recipes, batch=4))
    alone = list(generate(models[family], recipes, exact=True))
    for one, other in zip(together, alone, strict=True):
        assert share_within_one(one.image, other.image) >= 0.999


def test_batch_of_any_length_does_not_show_in_the_dtype_that_the_machine_chooses() -> None:
    model = load_model()
    recipes = [Recipe("a red apple", seed=1, steps=4), Recipe("a cat BREAK a", seed=2, steps=4)]
    together, alone = (list(generate(model, recipes, batch=n)) for n in (2, 1))
    for one, other in zip(together, alone, strict=True):
        assert share_within_one(one.image, other.image) >= 0.999


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_each_text_is_read_by_each_tower_once(tiny_models: Path, family: str) -> None:
    model, seen = load_model(tiny_models / family, "cpu", "float32"), list[str]()
    for name in model.tokens:
        tower = getattr(model.pipe, name)
        tower.register_forward_hook(lambda *_, name=name: seen.append(name))
    recipe = replace(FOX, steps=1, negative="blue")
    assert len(list(generate(model, [recipe, replace(recipe, seed=6)], exact=True))) == 2
    once = sorted([*model.tokens] * 2)  # the prompt and its negative
    assert sorted(seen) == once
    list(generate(model, [replace(recipe, seed=7)]))
    assert sorted(seen) == once
    list(generate(model, [replace(recipe, prompt="a red house")]))
    assert sorted(seen) == sorted([*once, *model.tokens])


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_turns_steer_each_step(models: dict[str, Model], family: str) -> None:
    model = models[family]
    told = condition(model, ["a [cat|dog]"], ["[x:y:0.5]"], True, steps=4)
    assert list(told.later) == [1, 2, 3]
    assert torch.equal(told.later[1].states, states(model, "a dog"))
    turning = replace(FOX, prompt="a [cat|dog]")
    apart = [draw(model, replace(FOX, prompt=p)) for p in ("a cat", "a dog")]
    assert draw(model, turning) not in apart
    # A turn that never comes changes nothing; one that is over at once neither.
    assert draw(model, replace(FOX, prompt="a [cat:dog:9]")) == apart[0]
    assert draw(model, replace(FOX, prompt="a [cat:dog:0]")) == apart[1]


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_guidance_acts_within_its_interval_only(models: dict[str, Model], family: str) -> None:
    model, seen = models[family], list[int]()
    hook = model.pipe.unet.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    fox = replace(FOX, sampler="euler")
    within = draw(model, replace(fox, guidance_from=0.25, guidance_until=0.75))
    hook.remove()
    assert seen == [1, 2, 2, 1]
    whole, never = draw(model, fox), draw(model, replace(fox, guidance=1.0))
    assert within not in (whole, never)
    assert draw(model, replace(fox, guidance_from=0.0, guidance_until=1.0)) == whole
    with pytest.raises(BadRecipe, match="never acts"):
        generate(model, [replace(FOX, guidance_from=0.6, guidance_until=0.4)])


def test_guidance_rescale_reaches_the_pipeline(sd1: Model) -> None:
    sd1.pipe.scheduler = build_scheduler("pndm", sd1.own_scheduler)
    plain = sd1.pipe(
        FOX.prompt,
        num_inference_steps=4,
        guidance_scale=4.0,
        guidance_rescale=0.7,
        width=64,
        height=64,
        generator=torch.Generator().manual_seed(FOX.seed),
    ).images[0]
    ours = draw(sd1, replace(FOX, guidance_rescale=0.7))
    assert share_within_one(plain, ours) >= 0.999
    assert ours != draw(sd1, FOX)


@pytest.mark.parametrize("schedule", ["karras", "exponential", "simple"])
def test_schedule_spaces_the_sigmas(models: dict[str, Model], schedule: str) -> None:
    model = models["sdxl"]
    euler = replace(FOX, sampler="euler", schedule=schedule)
    assert draw(model, euler) != draw(model, replace(euler, schedule=None))
    if schedule == "karras":
        assert draw(model, euler) == draw(model, replace(FOX, sampler="euler karras"))


def test_schedule_that_a_sampler_cannot_follow_is_refused(sd1: Model) -> None:
    for sampler, schedule in (("ddim", "karras"), ("lcm", "simple"), ("euler a", "beta")):
        with pytest.raises(BadRecipe, match=f"{sampler} cannot follow"):
            generate(sd1, [replace(FOX, sampler=sampler, schedule=schedule)])
    if importlib.util.find_spec("scipy") is None:
        with pytest.raises(BadRecipe, match="beta needs scipy"):
            generate(sd1, [replace(FOX, sampler="euler", schedule="beta")])
    with pytest.raises(BadRecipe, match="already has"):
        generate(sd1, [replace(FOX, sampler="euler karras", schedule="simple")])
