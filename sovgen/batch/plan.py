"""Plan: what to draw many of, from a TOML file or a file of prompts, counted before it is made.

Rows of prompts times the matrix times seeds. A plan can be asked for its n-th recipe without making
those before it, so its size is known at once, however large. Knows no queue and no model.
"""

from __future__ import annotations

import math
import random
import tomllib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from sovgen.batch.axis import Axis
from sovgen.batch.fields import SIZE, known, settled
from sovgen.batch.job import Job, job_of
from sovgen.batch.pictures import Files
from sovgen.batch.reading import KINDS, PLANS, Row, read_rows, read_text
from sovgen.batch.template import Template, Wildcards, parse
from sovgen.errors import BadPlan, BadRecipe
from sovgen.recipe import Recipe

KEYS = ("prompts", "from", "count", "sample", "matrix")
_TEMPLATES = ("prompt", "negative")
# More than anybody draws, and no more than a queue is made for.
MOST_JOBS = 1_000_000


@dataclass(frozen=True)
class Plan:
    """What a plan's file says.

    path: the file; relative paths and wildcards are meant from its folder
    base: fields that hold for all; rows: fields of each row, where they stand in the file
    matrix: every value of a field with every value of the others, the last field changing first;
        a text with choices stands for all of them
    count: seeds for each, from the row's or the base's own upwards
    sample: so many of all of them, the same ones every time; None for all
    """

    path: Path
    base: Mapping[str, object]
    rows: Sequence[Row]
    matrix: Mapping[str, Sequence[object]]
    count: int
    sample: int | None
    wildcards: Wildcards

    @property
    def total(self) -> int:
        """How many recipes it stands for, repeated ones and all."""
        return self._ends[-1] if self.sample is None else min(self.sample, self._ends[-1])

    @cached_property
    def varying(self) -> Sequence[str]:
        """The fields, beside the prompt, in which its recipes may differ from each other."""
        rows = [row for _, row in self.rows]
        names = dict.fromkeys(name for row in rows for name in row)
        found = [n for n in names if any(row.get(n) != rows[0].get(n) for row in rows)]
        found += [name for name, choices in self.matrix.items() if len(choices) > 1]
        texts = {str(row.get("negative", self.base.get("negative", ""))) for row in rows}
        found += ["negative"] if any(self._template(text).count > 1 for text in texts) else []
        found += ["seed"] if self.count > 1 else []
        sides = {SIZE: ("width", "height"), "prompt": ()}
        return list(dict.fromkeys(one for name in found for one in sides.get(name, (name,))))

    def jobs(self, limit: int | None = None) -> Iterator[Job]:
        """Its jobs in order, each once, at most `limit`. Raises BadPlan, naming the row."""
        seen: set[str] = set()
        for number in self._numbers():
            if limit is not None and len(seen) >= limit:
                return
            job = job_of(self.at(number))
            if job.id not in seen:
                seen.add(job.id)
                yield job

    def at(self, number: int) -> Recipe:
        """The recipe of that number, 0 .. total without a sample."""
        place = bisect_right(self._ends, number)
        if place:
            number -= self._ends[place - 1]
        where, given = self.rows[place]
        number, seed = divmod(number, self.count)
        values = {**self.base, **given}
        for name, axis in reversed(self._axes.items()):
            number, chosen = divmod(number, axis.count)
            values[name] = axis.at(chosen)
        for name in reversed(_TEMPLATES):
            if name not in self._axes and isinstance(text := values.get(name), str):
                template = self._template(text)
                number, chosen = divmod(number, template.count)
                values[name] = template.at(chosen)
        return self._recipe(values, seed, where)

    def _numbers(self) -> Iterator[int]:
        everything = self._ends[-1]
        if self.sample is None or self.sample >= everything:
            yield from range(everything)
            return
        chance, drawn = random.Random(str(self.base.get("seed", 0))), set[int]()  # noqa: S311
        while len(drawn) < self.sample:
            number = chance.randrange(everything)
            if number not in drawn:
                drawn.add(number)
                yield number

    @cached_property
    def _ends(self) -> Sequence[int]:
        """Where each row's recipes end."""
        times = self.count * math.prod(axis.count for axis in self._axes.values())
        return list(accumulate(self._texts(row) * times for row in self.rows))

    @cached_property
    def _axes(self) -> dict[str, Axis]:
        return {name: self._axis(name, choices) for name, choices in self.matrix.items()}

    def _axis(self, name: str, choices: Sequence[object]) -> Axis:
        if name not in _TEMPLATES:
            return Axis(choices)
        try:
            return Axis([self._template(c) if isinstance(c, str) else c for c in choices])
        except BadPlan as error:
            where = f"{self.path.name}, matrix, {name}"
            raise BadPlan(f"{where}: {error.message}", error.hint) from None

    def _texts(self, row: Row) -> int:
        where, given = row
        values = {**self.base, **given}
        texts = [text for name in _TEMPLATES if isinstance(text := values.get(name), str)]
        try:
            return math.prod(self._template(text).count for text in texts)
        except BadPlan as error:
            raise BadPlan(f"{where}: {error.message}", error.hint) from None

    def _recipe(self, values: Mapping[str, object], seed: int, where: str) -> Recipe:
        try:
            fields = self.files.as_ids(settled(values, self.path.parent))
            if "prompt" not in fields:
                raise BadPlan("There is no prompt.", "Write one there, be it an empty one.")
            first = fields.get("seed", 0)
            if isinstance(first, int):
                fields["seed"] = first + seed
            return Recipe(**fields)  # type: ignore[arg-type]
        except (BadRecipe, BadPlan) as error:
            raise BadPlan(f"{where}: {error.message}", error.hint) from error

    def _template(self, text: str) -> Template:
        if "{" not in text and "}" not in text and "_" not in text:
            return Template((text,))
        return self._parsed.setdefault(text, parse(text, self.wildcards))

    @cached_property
    def files(self) -> Files:
        """The picture files that its jobs name, as far as they have been made."""
        return Files(self.path.parent)

    @cached_property
    def _parsed(self) -> dict[str, Template]:
        return {}


def read_plan(path: Path, given: Mapping[str, object], wildcards: Wildcards) -> Plan:
    """The plan in a `.toml` file, or in a file of prompts.

    given: fields that hold for all unless the file gives them
    Raises BadPlan, naming the file and what is wrong in it.
    """
    values: dict[str, object] = {}
    if path.suffix.lower() not in KINDS:
        values = _parsed(path)
    else:
        values["from"] = path.name
    base = {known(n, path.name, KEYS): v for n, v in values.items() if n not in KEYS}
    rows = _rows(path, values, base)
    if not rows:
        raise BadPlan(f"{path} holds no prompt.", "Write one prompt a line.")
    plan = Plan(
        path=path,
        base={**given, **base},
        rows=rows,
        matrix=_matrix(path, values, base, rows),
        count=_positive(path, "count", values.get("count", 1)),
        sample=_positive(path, "sample", values["sample"]) if "sample" in values else None,
        wildcards=wildcards,
    )
    return plan


def changed(plan: Plan, fields: Mapping[str, object], count: int | None) -> Plan:
    """The plan with these fields for all, whatever it says of them itself."""
    kept = [(where, {n: v for n, v in row.items() if n not in fields}) for where, row in plan.rows]
    matrix = {name: choices for name, choices in plan.matrix.items() if name not in fields}
    base = {**plan.base, **fields}
    return replace(plan, base=base, rows=kept, matrix=matrix, count=count or plan.count)


def _parsed(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise BadPlan(f"{path} is not TOML: {error}.", PLANS) from error


def _rows(path: Path, values: Mapping[str, object], base: Mapping[str, object]) -> Sequence[Row]:
    """One row for each prompt; a single empty one where the matrix or the base gives it."""
    named = [name for name in ("prompt", "prompts", "from") if name in values]
    matrix = values.get("matrix")
    if isinstance(matrix, dict) and "prompt" in matrix:
        named.append("matrix.prompt")
    if len(named) != 1:
        both = f"gives its prompts by {' and '.join(named)} both"
        found = both if named else "holds no prompt"
        raise BadPlan(f"{path} {found}.", "Give one: prompts, or from.")
    if "from" in values:
        return list(read_rows(path.parent / str(values["from"])))
    if "prompts" not in values:
        return [(path.name, {})]
    prompts = values["prompts"]
    if not isinstance(prompts, list):
        raise BadPlan(f"{path.name}: prompts is no list.", 'Write prompts = ["a fox", "a hen"].')
    return [(f"{path.name}, prompt {n}", {"prompt": p}) for n, p in enumerate(prompts, 1)]


def _matrix(
    path: Path, values: Mapping[str, object], base: Mapping[str, object], rows: Sequence[Row]
) -> Mapping[str, Sequence[object]]:
    matrix = values.get("matrix", {})
    if not isinstance(matrix, dict):
        raise BadPlan(f"{path.name}: matrix is no table.", "Write [matrix], then a field a line.")
    in_rows = {name for _, row in rows for name in row}
    for name, choices in matrix.items():
        known(name, f"{path.name}, matrix")
        if not isinstance(choices, list) or not choices:
            wrong = "is empty" if choices == [] else "is no list"
            raise BadPlan(f"{path.name}, matrix: {name} {wrong}.", f"Write {name} = [1, 2].")
        if name in base or name in in_rows:
            raise BadPlan(f"{path.name} gives {name} twice.", "Leave it out of [matrix].")
    return matrix


def _positive(path: Path, name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadPlan(f"{path.name}: {name} is {value!r}.", "Write a whole number from 1.")
    return value
