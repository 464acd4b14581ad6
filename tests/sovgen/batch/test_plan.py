"""Plans: the same file is the same jobs, however it is written; what is wrong in it is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from index.errors import UnreadableImage
from index.record import pixel_id
from sovgen.batch.job import Job, job_from
from sovgen.batch.plan import Plan, changed, read_plan
from sovgen.batch.wildcards import wildcards_beside
from sovgen.errors import BadPlan

Read = Callable[..., Plan]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def reading(name: str, text: str | bytes, **given: object) -> Plan:
        file = tmp_path / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_plan(file, given, wildcards_beside(file, tmp_path / "config" / "config.toml"))

    return reading


def told(plan: Plan, *names: str) -> list[tuple[object, ...]]:
    return [tuple(getattr(job.recipe, name) for name in names) for job in plan.jobs()]


PLAN = """
prompts = ["a {red|blue} fox", "a hen"]
seed = 5
count = 2
steps = 4
[matrix]
guidance = [1, 7.5]
sampler = ["ddim"]
"""


def test_rows_times_matrix_times_choices_times_seeds(read: Read) -> None:
    plan = read("plan.toml", PLAN)
    assert plan.total == 12
    assert told(plan, "guidance", "prompt", "seed", "steps")[:6] == [
        (1.0, "a red fox", 5, 4),
        (1.0, "a red fox", 6, 4),
        (7.5, "a red fox", 5, 4),
        (7.5, "a red fox", 6, 4),
        (1.0, "a blue fox", 5, 4),
        (1.0, "a blue fox", 6, 4),
    ]


def test_choices_hold_in_the_matrix_too(read: Read) -> None:
    text = """
    steps = 4
    [matrix]
    prompt = ["a {red|blue} fox", "a hen"]
    guidance = [1, 7.5]
    negative = ["", "{text|blur}, __fault__"]
    """
    read("fault.txt", "frame\nnoise\n")
    plan = read("plan.toml", text)
    assert plan.total == 3 * 2 * 5
    everything = told(plan, "prompt", "guidance", "negative")
    assert len(set(everything)) == 30
    assert everything[:6] == [
        ("a red fox", 1.0, ""),
        ("a red fox", 1.0, "text, frame"),
        ("a red fox", 1.0, "text, noise"),
        ("a red fox", 1.0, "blur, frame"),
        ("a red fox", 1.0, "blur, noise"),
        ("a red fox", 7.5, ""),
    ]
    assert {prompt for prompt, *_ in everything} == {"a red fox", "a blue fox", "a hen"}
    assert told(read("p.toml", 'prompts = ["a {b|c}"]\n[matrix]\nnegative = ["d {e|f}"]'),
                "prompt", "negative") == [
        ("a b", "d e"), ("a b", "d f"), ("a c", "d e"), ("a c", "d f")
    ]  # fmt: skip


def test_ids_are_the_same_every_time_and_whatever_stands_around(read: Read) -> None:
    ids = [job.id for job in read("plan.toml", PLAN).jobs()]
    again = [
        job.id for job in read("other.toml", PLAN.replace('"a hen"', '"a cow", "a hen"')).jobs()
    ]
    assert len(set(ids)) == 12
    assert set(ids) < set(again)
    # Written down, so that an upgrade cannot draw everything once more.
    assert ids[0] == "0fff98bf470ee7a4"
    job = next(read("plan.toml", PLAN).jobs())
    assert job_from(job.text) == job and isinstance(job, Job)


def test_the_same_recipe_is_one_job(read: Read) -> None:
    plan = read("prompts.txt", "a fox\na hen\na fox\n\n# a comment\n")
    assert plan.total == 3
    assert told(plan, "prompt") == [("a fox",), ("a hen",)]


def test_a_recipe_is_one_job_however_it_is_spelled(read: Read) -> None:
    text = """
    prompt = "a fox"
    adapter = "looks"
    [matrix]
    sampler = ["euler a", "Euler a", "euler_a", "Euler ancestral"]
    loras = [["x", "y:0.5"], ["x:1", "y:0.50"], ["x:1.0", "y:.5"], ["x:+1", "y:0.5"]]
    reference = [["abcd", "efgh:2"], ["abcd:1", "efgh:2.0"]]
    """
    [job] = read("plan.toml", text).jobs()
    assert job.recipe.sampler == "euler a"
    assert job.recipe.loras == ("x", "y:0.5") and job.recipe.reference == ("abcd", "efgh:2")
    assert job_from(job.text) == job
    # Written down: what was spelled so before is the job that it was.
    assert job.id == "59ab2ca25596ec4a"
    names = "x:2:1 x:2 x:10 x:-1 x:0 x:-0 x:0.00001".split()
    apart = read("p.toml", f'prompt = "a"\n[matrix]\nloras = {[[name] for name in names]}')
    assert told(apart, "loras") == [((name,),) for name in names if name != "x:-0"]


def test_a_job_is_one_however_its_schedule_is_said(read: Read) -> None:
    text = """
    prompt = "a fox"
    [matrix]
    sampler = ["DPM++ 2M SGM Uniform", "DPMSolverMultistepScheduler simple"]
    """
    [job] = read("plan.toml", text).jobs()
    [other] = read("p.toml", 'prompt = "a fox"\nsampler = "dpm++ 2m"\nschedule = "Simple"').jobs()
    assert job == other and (job.recipe.sampler, job.recipe.schedule) == ("dpm++ 2m", "simple")
    # of the model's own sampler, which may bring a schedule, evenly says more than nothing
    own = 'prompt = "a"\n[matrix]\nschedule = ["Uniform", "normal", "sgm uniform"]'
    assert told(read("q.toml", own), "schedule") == [("uniform",), ("simple",)]
    [plain] = read("r.toml", 'prompt = "a"\nschedule = "Automatic"').jobs()
    assert plain.recipe.schedule is None


def test_a_sample_is_the_same_every_time_and_holds_nothing_twice(read: Read) -> None:
    text = 'prompts = ["{a|b|c|d} {a|b|c|d} {a|b|c|d}"]\nsample = 10\nseed = 3'
    first, second = (told(read("plan.toml", text), "prompt") for _ in range(2))
    assert first == second and len(set(first)) == 10
    assert first != told(read("plan.toml", text.replace("seed = 3", "seed = 4")), "prompt")
    assert len(told(read("plan.toml", text.replace("= 10", "= 1000")), "prompt")) == 64


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.csv", "prompt,steps,transparent,loras,size\n\"a fox, red\",4,yes,a:0.5;b,64x72\n"),
        (
            "p.csv",
            "\ufeffPrompt, STEPS ,transparent,loras,width,height\r\n"
            '"a fox, red",4,1,a:0.5 ; b,64,72\r\n',
        ),
        (
            "p.jsonl",
            '{"prompt": "a fox, red", "steps": 4, "transparent": true, '
            '"loras": ["a:0.5", "b"], "size": "64x72"}\n',
        ),
        (
            "p.toml",
            'prompt = "a fox, red"\nsteps = 4\ntransparent = true\n'
            'loras = ["a:0.5", "b"]\nwidth = 64\nheight = 72',
        ),
    ],
)  # fmt: skip
def test_every_kind_of_file_gives_every_type_of_field(read: Read, name: str, text: str) -> None:
    [values] = told(read(name, text), "prompt", "steps", "transparent", "loras", "width", "height")
    assert values == ("a fox, red", 4, True, ("a:0.5", "b"), 64, 72)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_a_prompt(read: Read, encoding: str) -> None:
    assert told(read("p.txt", "ein Füchslein 🦊\n".encode(encoding)), "prompt") == [
        ("ein Füchslein 🦊",)
    ]


@pytest.mark.parametrize("mark", ["\u2028", "\u0085", "\u2029", "\x0b", "\x1c"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_only_a_line_feed_ends_a_line(read: Read, mark: str, end: str) -> None:
    prompt = f"a red{mark}fox"
    quoted = json.dumps(prompt, ensure_ascii=False)
    for name, text in (
        ("p.txt", f"{prompt}{end}a hen{end}"),
        ("p.csv", f"prompt,steps{end}{prompt},3{end}a hen,4{end}"),
        ("p.csv", f'prompt,steps{end}"{prompt}",3{end}a hen,4{end}'),
        ("p.jsonl", f'{quoted}{end}{{"prompt": "a hen"}}{end}'),
    ):
        assert told(read(name, text), "prompt") == [(prompt,), ("a hen",)]


def test_a_plan_names_its_prompts_file_and_its_model_from_its_own_folder(
    read: Read, tmp_path: Path
) -> None:
    (tmp_path / "p.jsonl").write_text('"a fox"\n{"prompt": "a hen", "steps": 9}\n')
    plan = read("plan.toml", 'from = "p.jsonl"\nsteps = 3\nmodel = "models/tiny"')
    model = str(tmp_path / "models" / "tiny")
    assert told(plan, "prompt", "steps", "model") == [("a fox", 3, model), ("a hen", 9, model)]


def test_wildcards_beside_the_plan_come_before_those_of_the_config(
    read: Read, tmp_path: Path
) -> None:
    for folder, text in (("wildcards", "fox\nhen\n"), ("config/wildcards", "cow\n")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "animal.txt").write_text(text)
    (tmp_path / "config/wildcards/colour.txt").write_text("# the first\nred\n\nred\n")
    plan = read("p.txt", "a __colour__ __animal__")
    assert told(plan, "prompt") == [("a red fox",), ("a red hen",)]


def test_what_is_given_holds_unless_the_file_says_otherwise(read: Read) -> None:
    assert told(read("p.txt", "a fox", device="cpu"), "device") == [("cpu",)]
    assert told(read("p.toml", 'prompt="a"\ndevice="mps"', device="cpu"), "device") == [("mps",)]
    plan = changed(read("plan.toml", PLAN), {"guidance": 2.0, "steps": 9}, count=1)
    assert set(told(plan, "guidance", "steps")) == {(2.0, 9)} and plan.total == 3


@pytest.mark.parametrize(
    ("name", "text", "message", "hint"),
    [
        ("p.toml", "prompts = [", "p.toml is not TOML", "A plan is TOML"),
        ("p.toml", 'prompts = ["a"]\nstep = 3', "no field 'step'", "'steps'"),
        ("p.toml", 'prompts = ["a"]\n[matrix]\nguidence = [3]', "there is no field", "'guidance'"),
        ("p.toml", 'prompts = ["a"]\nsteps = 3\n[matrix]\nsteps = [3]', "steps twice", "matrix"),
        ("p.toml", 'prompts = ["a"]\n[matrix]\nsteps = 3', "steps is no list", "steps = [1, 2]"),
        ("p.toml", 'prompts = ["a"]\nprompt = "b"', "prompt and prompts", "one"),
        ("p.toml", 'prompts = ["a"]\n[matrix]\nsteps = []', "steps is empty", "steps = [1, 2]"),
        ("p.toml", "steps = 3", "p.toml holds no prompt.", "prompts"),
        ("p.toml", 'prompts = "a"', "no list", "prompts = ["),
        ("p.toml", "prompts = []", "holds no prompt", "one prompt a line"),
        ("p.toml", 'prompts = ["a"]\ncount = 0', "count is 0", "from 1"),
        ("p.toml", 'prompts = ["a", "b"]\n[matrix]\nsteps = [3, 0]', "prompt 1: The steps 0", "1"),
        ("p.toml", 'prompts = ["a", 3]', "prompt 2: The prompt must be text", ""),
        ("p.toml", 'prompts = ["a"]\nsize = "big"', "'big' is not a size", "512x512"),
        ("p.toml", 'from = "none.csv"', "none.csv cannot be read", ""),
        ("p.txt", "\n# nothing\n", "holds no prompt", ""),
        ("p.txt", "", "holds no prompt", ""),
        ("p.txt", "a fox\na {hen", "p.txt, line 2: A brace is opened", "\\{"),
        ("p.txt", b"a fox\na h\xe4hnchen", "line 2, is not UTF-8", "UTF-8"),
        ("p.txt", "a __colur__ fox", "no wildcard __colur__", "__colour__"),
        ("p.txt", "a __nope__ fox", "no wildcard __nope__", "As plain text it is \\__nope__."),
        ("p.csv", "text,steps\na,3\n", "names no column `prompt`", "first line"),
        ("p.csv", "prompt,stepps\na,3\n", "line 1: there is no field 'stepps'", "'steps'"),
        ("p.csv", "prompt,steps\na,3\nb,many\n", "line 3: steps is 'many', not int", "number"),
        ("p.csv", "prompt,steps\na,3,4\n", "3 cells under 2 names", '"one, two"'),
        ("p.csv", 'prompt\n"a\n', "p.csv, line", ""),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt"}\n', "JSON: Expecting ':' delimiter, column", ""),
        ("p.jsonl", "9" * 5000, "line 1, is not JSON: Exceeds the limit", ""),
        ("p.csv", "prompt,steps, Steps\na,3,4\n", "p.csv, line 1 names 'steps' twice", "one"),
        ("p.csv", "prompt,prompt\na,b\n", "p.csv, line 1 names 'prompt' twice", ""),
        ("p.jsonl", '"a"\n{"prompt": "a", "prompt": "b"}\n', "line 2 names 'prompt' twice", "one"),
        ("p.jsonl", "[1]\n", "line 1, is no object", ""),
        ("p.jsonl", '"a"\n{"steps": 3}\n', "p.jsonl, line 2: There is no prompt", "one"),
        ("p.csv", "steps,prompt\n3\n", "p.csv, line 2: There is no prompt", ""),
        ("p.toml", '[matrix]\nprompt = ["a {b"]', "p.toml, matrix, prompt: A brace", "\\{"),
        ("p.toml", "[matrix]\nprompt = [3]", "The prompt must be text, not int", ""),
        ("p.png", b"\x89PNG\r\n\x1a\n", "p.png", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(
    read: Read, tmp_path: Path, name: str, text: str, message: str, hint: str
) -> None:
    (tmp_path / "wildcards").mkdir()
    (tmp_path / "wildcards" / "colour.txt").write_text("red\n")
    with pytest.raises(BadPlan) as caught:
        list(read(name, text).jobs())
    assert message in caught.value.message, caught.value.message
    assert hint in caught.value.hint, caught.value.hint


def test_a_plan_beyond_counting_is_counted(read: Read) -> None:
    digits = "{" + "|".join("0123456789") + "}"
    plan = read("p.toml", f'prompts = ["{digits * 12}"]\nsample = 3\n[matrix]\nsteps = [1, 2]')
    assert plan.total == 3 and len(list(plan.jobs())) == 3
    assert read("p.txt", digits * 12).total == 10**12


def test_any_field_of_a_recipe_can_be_in_the_matrix(read: Read) -> None:
    values = {"loras": [["a"], ["a", "b:0.5"]], "transparent": [True, False], "schedule": ["beta"]}
    lines = "\n".join(f"{name} = {json.dumps(choices)}" for name, choices in values.items())
    plan = read("p.toml", f'prompts = ["a"]\n[matrix]\n{lines}')
    assert ("beta", False, ("a", "b:0.5")) in told(plan, "schedule", "transparent", "loras")
    assert plan.total == 4


def test_pictures_are_named_by_files_and_known_by_ids(read: Read, tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8), "red")
    image.save(tmp_path / "red.png")
    text = 'prompts = ["a"]\ninit = "red.png"\n[matrix]\nstrength = [0.5, 1]\n'
    looks = 'adapter = ["looks"]\nreference = [["red.png:0.5", "abcd"], ["abcd"]]'
    plan = read("p.toml", text + looks)
    assert set(told(plan, "init")) == {(pixel_id(image),)}
    assert set(told(plan, "reference")) == {((f"{pixel_id(image)}:0.5", "abcd"),), (("abcd",),)}
    (tmp_path / "red.png").write_bytes(b"none")
    with pytest.raises(UnreadableImage):
        told(read("p.toml", text), "init")
