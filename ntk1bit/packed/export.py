"""From a trained Transformer to its packed form: signs taken from the quantiser that trained them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Array, Float, Float32

from ntk1bit import cores
from ntk1bit.errors import InputError
from ntk1bit.files import writable_file
from ntk1bit.networks.bitlinear import Projection, signed_weights
from ntk1bit.networks.bitlinear_form import Shift
from ntk1bit.networks.transformer import Block, Transformer
from ntk1bit.networks.transformer_shape import Shape
from ntk1bit.packed.file_format import SUFFIX, save, stack_signs
from ntk1bit.packed.model import PackedBlock, PackedModel, PackedProjection


def export(model: Transformer, shape: Shape, path: Path | str, *, alphabet: str = "", note: str = "") -> PackedModel:
    """Pack a Transformer and store it (`ntk1bit.packed.file_format`); return what was stored.

    Raises
    ------
    InputError
        As `pack`, or if the name does not end in `.npz` or its folder does not exist.
    OSError
        If the file cannot be written; nothing is left of it then.
    """
    path = writable_file("a packed model", path, [SUFFIX])
    packed = pack(model, shape, alphabet=alphabet, note=note)
    save(packed, path)
    return packed


def pack(model: Transformer, shape: Shape, *, alphabet: str = "", note: str = "") -> PackedModel:
    """Pack the projections of a Transformer of the arm `bitnet`; the rest stays in float32.

    Packed inference rounds a token's inputs to integers by their own gamma, as W23 has it at inference, whatever the
    form says of training (`BitLinearForm.packed`). Sign(0) and the shift (Eq. 6) are the form's. A form with groups
    cannot be packed: it has several scales (Eqs. 13, 14).

    Parameters
    ----------
    model
        Latent weights; each projection is packed as Sign(W - alpha) with beta = mean|W| (W23), by `signed_weights`,
        which trained them.
    shape
        Its shape.
    alphabet
        The characters its tokens stand for, in order; "" if there is none to tell.
    note
        One line for people: text, steps, loss.

    Raises
    ------
    InputError
        If a projection is of another arm or of a form that cannot be packed, shapes disagree, a weight is not finite,
        or the alphabet does not fit.
    """
    if alphabet and (len(alphabet) != shape.vocabulary or len(set(alphabet)) != len(alphabet)):
        raise InputError(
            f"the alphabet of a model with {shape.vocabulary} tokens needs as many distinct characters, "
            f"got {len(alphabet)} of which {len(set(alphabet))} distinct"
        )
    for name, text in (("alphabet", alphabet), ("note", note)):
        lone = next((character for character in text if "\ud800" <= character <= "\udfff"), None)
        if lone is not None:
            raise InputError(f"the {name} holds {lone!r}, half a character, which no file in UTF-8 can; leave it out")
    table = (shape.vocabulary, shape.width)
    if len(model.blocks) != shape.layers or (model.head is None) != shape.tied:
        raise InputError(
            f"the model has {len(model.blocks)} layers and {'no' if model.head is None else 'a'} head of its own, "
            f"its shape says {shape.layers} layers and tied={shape.tied}; give the shape it was made with"
        )
    embedding = _floats("embedding", model.embedding, table)
    return PackedModel(
        shape=shape,
        embedding=embedding,
        blocks=tuple(_pack_block(f"layer {index}", block, shape) for index, block in enumerate(model.blocks)),
        norm=_floats("norm", model.norm.gain, (shape.width,)),
        head=embedding if model.head is None else _floats("head", model.head, table),
        alphabet=alphabet,
        note=note,
        shift=_shift(model),
    )


def _shift(model: Transformer) -> Shift:
    """Return the shift of all first feed-forward layers.

    Raises
    ------
    InputError
        If they differ.
    """
    found: set[Shift] = {block.up.form.shift for block in model.blocks}
    if len(found) > 1:
        raise InputError(f"layers shift their inputs in several ways: {', '.join(sorted(found))}; give them one form")
    return found.pop()


def _pack_block(where: str, block: Block, shape: Shape) -> PackedBlock:
    if block.heads != shape.heads or block.activation != shape.activation:
        raise InputError(
            f"{where} has {block.heads} heads and {block.activation}, its shape says {shape.heads} and "
            f"{shape.activation}; give the shape it was made with"
        )
    if block.attention_sub_norm is None or block.feed_sub_norm is None:
        raise InputError(f"{where} has no SubLN, as arms that end in -preln; only networks with it can be packed")
    width = shape.width

    def packed(name: str, outputs: int, inputs: int) -> PackedProjection:
        return _pack_projection(f"{name} of {where}", getattr(block, name), (outputs, inputs))

    def gain(name: str, size: int) -> Float32[np.ndarray, " size"]:
        return _floats(f"{name} of {where}", getattr(block, name).gain, (size,))

    parts = [packed(name, width, width) for name in ("query", "key", "value")]
    return PackedBlock(
        attention_norm=gain("attention_norm", width),
        attention=stack_signs(tuple(part.signs for part in parts)),
        attention_scales=np.array([part.beta for part in parts], dtype=np.float32),
        attention_sub_norm=gain("attention_sub_norm", width),
        output=packed("output", width, width),
        feed_norm=gain("feed_norm", width),
        up=packed("up", 4 * width, width),
        feed_sub_norm=gain("feed_sub_norm", 4 * width),
        down=packed("down", width, 4 * width),
    )


def _pack_projection(where: str, projection: Projection, shape: tuple[int, int]) -> PackedProjection:
    if projection.arm != "bitnet":
        raise InputError(
            f"only projections of the arm 'bitnet' have 1-bit weights to pack, {where} is {projection.arm!r}"
        )
    _require_packable(where, projection)
    weight = _floats(where, projection.weight, shape)
    value = np.asarray(signed_weights(projection.weight, form=projection.form, surrogate=projection.surrogate))
    # Every entry is +beta or -beta, so its sign bit is the sign, in a matrix of zeros (beta = 0) as well.
    beta = float(np.abs(value[0, 0]))
    if not np.isfinite(beta):
        raise InputError(f"the scale of {where} is not finite; its weights are too large: {np.abs(weight).max():.3g}")
    return PackedProjection(cores.pack_signs(~np.signbit(value)), beta)


def _require_packable(where: str, projection: Projection) -> None:
    """Refuse what 8-bit kernels with one scale a matrix do not compute."""
    if projection.form.groups > 1:
        raise InputError(
            f"{where} has {projection.form.groups} groups with a scale each, which 8-bit kernels with one scale a "
            "matrix do not compute; train, or use `as_form` with, a form that has groups=1"
        )


def _floats(where: str, array: Float[Array, ...], shape: tuple[int, ...]) -> Float32[np.ndarray, ...]:
    values = np.ascontiguousarray(np.asarray(array, dtype=np.float32))
    if values.shape != shape:
        raise InputError(f"{where} has shape {values.shape}, its model's shape says {shape}")
    if not np.isfinite(values).all():
        raise InputError(f"{where} holds NaN or infinity; the network has diverged")
    return values
