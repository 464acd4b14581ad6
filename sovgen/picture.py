"""Picture: pixels and their recipe, one object until they are one file.

Writes the file's bytes; where they go and what else is remembered of them is not known here. The
bytes hold no clock, duration, host or path, so the same picture is the same file everywhere. The
format is documented in docs/formats.md; `index.provenance` reads it.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from sovgen.recipe import Recipe
from sovgen.samplers import SAMPLERS, Sampler
from sovgen.spelling import SCHEDULES, settle

if TYPE_CHECKING:
    from PIL import Image

FORMAT_VERSION = 1
# Of zlib's nine. The usual sixth takes twice the time; its files are a hundredth apart, either way.
_LEVEL = 4
# The prompt, its words of one's own, and the seeds, by which a guessed prompt could be proved.
PRIVATE = frozenset(("prompt", "negative", "seed", "variation_seed", "embeddings"))
_MADE_BY_MODEL = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_XMP = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    Iptc4xmpExt:DigitalSourceType="{_MADE_BY_MODEL}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


@dataclass(frozen=True)
class Picture:
    """Pixels and how they were made.

    image: RGB, or RGBA where its ground was taken away
    recipe: nothing in it is left open; its model is a name, never a path
    model_hash, configuration: see `sovgen.models.identity`; None where an upscaler made it by
        itself, and the second also where the model is a single file
    notices: what the maker should know, such as words that were dropped
    additions: the hash of each addition by its name, under the field of the recipe that names it
    safety: `safe`, `flagged`, or None when nobody looked
    duration: seconds of drawing, its share of the batch's
    """

    image: Image.Image
    recipe: Recipe
    model_hash: str | None
    configuration: str | None = None
    notices: tuple[str, ...] = ()
    additions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    safety: str | None = None
    duration: float = 0.0

    @cached_property
    def id(self) -> str:
        """The picture's id: what its pixels amount to."""
        from index.record import pixel_id

        return pixel_id(self.image)


def encode_png(picture: Picture, *, private: bool = False) -> bytes:
    """The picture as a PNG file, the same bytes for the same picture.

    private: leave out the prompt, the negative and the seed, from which a guessed prompt could be
        proved, and the whole A1111 line
    """
    from PIL import PngImagePlugin

    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt("sovgen", _account(picture, private))
    if not private:
        # As A1111 does through Pillow: tEXt where Latin-1 is enough, else iTXt.
        chunks.add_text("parameters", a1111_text(picture.recipe, picture.model_hash))
    chunks.add_itxt("XML:com.adobe.xmp", _XMP)
    buffer = io.BytesIO()
    picture.image.save(buffer, "PNG", pnginfo=chunks, compress_level=_LEVEL)
    return buffer.getvalue()


def a1111_text(recipe: Recipe, model_hash: str | None) -> str:
    """The recipe as AUTOMATIC1111's web UI writes it, for the programs that read only that.

    LoRAs are written into the prompt, as that program takes them: `<lora:name:0.8>`.
    """
    tags = [f"<lora:{text}>" for text in recipe.loras]
    lines = [" ".join(filter(None, [recipe.prompt, *tags]))]
    if recipe.negative:
        lines.append(f"Negative prompt: {recipe.negative}")
    pairs = {
        "Steps": recipe.steps,
        **_a1111_sampler(recipe.sampler or "", recipe.schedule),
        "CFG scale": _shown(recipe.guidance),
        "Seed": recipe.seed,
        "Size": f"{recipe.width}x{recipe.height}",
        "Model hash": model_hash and model_hash[:10],
        "Model": recipe.model,
        "VAE": recipe.vae,
        "Clip skip": recipe.clip_skip,
        "Skip Early CFG": _shown(recipe.guidance_from),
        "Variation seed": recipe.variation_seed,
        "Variation seed strength": _shown(recipe.variation),
        "Denoising strength": _shown(recipe.strength),
        "Refiner": recipe.refiner,
        "Refiner switch at": _shown(recipe.refine_from),
        "RNG": "CPU",
        "Version": "sovgen",
    }
    lines.append(", ".join(f"{k}: {_quoted(v)}" for k, v in pairs.items() if v is not None))
    return "\n".join(lines)


def _account(picture: Picture, private: bool) -> str:
    """The chunk `sovgen`: sorted compact JSON."""
    recipe = picture.recipe.to_dict()
    if private:
        recipe = {k: v for k, v in recipe.items() if k not in PRIVATE}
    account: dict[str, object] = {
        "version": FORMAT_VERSION,
        "recipe": recipe,
    }
    if picture.model_hash:
        account["model_hash"] = picture.model_hash
    if picture.configuration:
        account["model_configuration"] = picture.configuration
    if additions := told_additions(picture, private):
        account["additions"] = additions
    if picture.safety:
        account["safety"] = picture.safety
    return json.dumps(account, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def told_additions(picture: Picture, private: bool) -> dict[str, Mapping[str, str]]:
    """The picture's additions; of a private one without those that prompts name."""
    hidden = PRIVATE if private else frozenset[str]()
    return {field: sums for field, sums in picture.additions.items() if field not in hidden}


def _a1111_sampler(name: str, schedule: str | None) -> dict[str, str | None]:
    if name:
        name, schedule = settle(name, schedule)
    label = SAMPLERS.get(name, Sampler("", name)).label
    return {"Sampler": label, "Schedule type": SCHEDULES.get(schedule or "")}


def _shown(number: float | None) -> str | None:
    return None if number is None else f"{number:g}"


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r"[,:\n]", text) else text
