"""Equipping: a model gets the additions of one batch, and no others.

What is there already stays, so that batches of the same settings load nothing; what is not wanted
any more is taken off to the bit. Knows the kinds of additions by their functions alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sovgen.models.additions import autoencoder, controlnet, embedding, imageprompt, lora
from sovgen.models.additions.wanted import Additions
from sovgen.models.quiet import libraries_held_back

if TYPE_CHECKING:
    from sovgen.models.model import Model

    Put = Callable[[Model, Any], tuple[Any, Callable[[], None]]]


@dataclass(frozen=True)
class Equipped:
    """One kind of addition that is in a model.

    key: what tells it from another; made: what putting it there gave; remove: takes it off
    """

    key: Hashable
    made: Any
    remove: Callable[[], None]


def check_additions(model: Model, wanted: Additions) -> None:
    """Raise ModelUnsupported or ModelDamaged unless each fits the model."""
    with libraries_held_back():
        for one, _ in wanted.loras:
            lora.check_lora(model, one)
        for one in wanted.embeddings:
            embedding.check_embedding(model, one)
        if wanted.vae:
            autoencoder.check_vae(model, wanted.vae)
        if wanted.control:
            controlnet.check_control(model, wanted.control)
        if wanted.adapter:
            imageprompt.check_adapter(model, wanted.adapter)


def equip(model: Model, wanted: Additions, references: int = 0) -> None:
    """Let the model have these additions and no others.

    references: how many pictures its IP-Adapter is to look at
    Raises ModelDamaged, with none of the failing kind in the model.
    """
    pictures = (wanted.adapter, references) if wanted.adapter else None
    with libraries_held_back():
        _turn(model, "adapter", pictures, _put_adapter)
        _turn(model, "loras", tuple(one for one, _ in wanted.loras) or None, _put_loras)
        _turn(model, "embeddings", wanted.embeddings or None, _put_embeddings)
        _turn(model, "vae", wanted.vae, _put_vae)
        _turn(model, "control", wanted.control, _put_control)
        if wanted.loras:
            _weigh(model, wanted)


def strip(model: Model) -> None:
    """Take every addition off."""
    equip(model, Additions())


def _turn(model: Model, slot: str, key: Any, put: Put) -> None:  # noqa: ANN401
    """Let what the slot holds be what `key` says; None is nothing."""
    held = model.equipped.get(slot)
    if (held.key if held else None) == key:
        return
    # Towers and tokenizers are about to change.
    model.texts.clear()
    if held:
        del model.equipped[slot]
        held.remove()
    if key is not None:
        model.equipped[slot] = Equipped(key, *put(model, key))


def _put_loras(model: Model, loras: Any) -> tuple[None, Callable[[], None]]:  # noqa: ANN401
    try:
        lora.add_loras(model, loras)
    except BaseException:
        lora.remove_loras(model)
        raise
    return None, lambda: lora.remove_loras(model)


def _weigh(model: Model, wanted: Additions) -> None:
    held = model.equipped["loras"]
    if held.made != wanted.loras:
        # So are the towers' answers.
        model.texts.clear()
        lora.weigh_loras(model, wanted.loras)
        model.equipped["loras"] = Equipped(held.key, wanted.loras, held.remove)


def _put_embeddings(model: Model, embeddings: Any) -> tuple[None, Callable[[], None]]:  # noqa: ANN401
    return None, embedding.add_embeddings(model, embeddings)


def _put_vae(model: Model, vae: Any) -> tuple[None, Callable[[], None]]:  # noqa: ANN401
    return None, autoencoder.put_vae(model, vae)


def _put_control(model: Model, control: Any) -> tuple[Any, Callable[[], None]]:  # noqa: ANN401
    return controlnet.open_control(model, control), lambda: None


def _put_adapter(model: Model, key: Any) -> tuple[Any, Callable[[], None]]:  # noqa: ANN401
    prompt = imageprompt.put_adapter(model, *key)
    return prompt, prompt.remove
