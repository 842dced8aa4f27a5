"""A decoder-only Transformer for character-level language models, the same in every arm but for its linear layers.

    h   = E[token]
    h  += O( LN'( Attention( Q(LN h), K(LN h), V(LN h) ) ) )       causal, softmax, `heads` heads
    h  += D( LN'( act( U(LN h) ) ) )                               act: GELU or squared ReLU, hidden size 4 width
    logits = LN(h) E^T  (tied)  or  LN(h) W_head^T

Pre-norm, with a second norm LN' (SubLN) before the last projection of each half, so that every quantised projection
reads normalised rows, as W23 has it; arms that end in ``-preln`` have no LN' (Pre-LN, the baseline of W23's Table 4).
Q, K, V, O, U, D are the arm's `Projection`; the residual stream, norms, attention's products, embedding and head stay
in full precision (W23, section 2). In the arm `bitnet` a `BitLinearForm` says how projections quantise; U stands before
the non-linearity (W23, Eq. 6), and with groups the norms before projections, but not the last one, are grouped (Eq.
15). With gamma per tensor, as W23 trains, a position sees later ones through gamma and eta; `as_form(model,
form.at_inference())` has them per token. Positions enter by rotating queries and keys (Su et al. 2021), which has no
parameters.
What it is made of is a `transformer_shape.Shape`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer

from ntk1bit.errors import InputError, require_choice
from ntk1bit.networks.bitlinear import LayerNorm, Projection, projection
from ntk1bit.networks.bitlinear_form import DEFAULT_FORM, BitLinearForm
from ntk1bit.networks.quantizers import SURROGATES, Surrogate
from ntk1bit.networks.transformer_shape import ARMS, PRE_LN, Activation, Arm, Shape, layer_of

ROTARY_BASE = 10_000.0


class Block(eqx.Module):
    """One layer: attention and feed-forward, each with its norms."""

    attention_norm: LayerNorm
    query: Projection
    key: Projection
    value: Projection
    attention_sub_norm: LayerNorm | None
    output: Projection
    feed_norm: LayerNorm
    up: Projection
    feed_sub_norm: LayerNorm | None
    down: Projection
    heads: int = eqx.field(static=True)
    activation: Activation = eqx.field(static=True)

    def __call__(self, h: Float[Array, "b t d"]) -> Float[Array, "b t d"]:
        """Pass a batch of sequences through the layer."""
        gathered = self.attend(self.attention_norm(h))
        h = h + self.output(gathered if self.attention_sub_norm is None else self.attention_sub_norm(gathered))
        hidden = activate(self.up(self.feed_norm(h)), self.activation)
        return h + self.down(hidden if self.feed_sub_norm is None else self.feed_sub_norm(hidden))

    def attend(self, x: Float[Array, "b t d"]) -> Float[Array, "b t d"]:
        """Return what causal attention gathers for each position, heads side by side."""
        batch, time, width = x.shape
        q, k, v = (
            part(x).reshape(batch, time, self.heads, width // self.heads) for part in (self.query, self.key, self.value)
        )
        scores = jnp.einsum("bqhc,bkhc->bhqk", rotate(q), rotate(k)) * (width // self.heads) ** -0.5
        seen = jnp.tril(jnp.ones((time, time), bool))
        shares = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), axis=-1)
        return jnp.einsum("bhqk,bkhc->bqhc", shares, v).reshape(batch, time, width)


class Transformer(eqx.Module):
    """Embeddings, blocks, final norm and head; `head` is None when tied to the embedding."""

    embedding: Float[Array, "vocabulary d"]
    blocks: tuple[Block, ...]
    norm: LayerNorm
    head: Float[Array, "vocabulary d"] | None

    def __call__(self, tokens: Integer[Array, "b t"]) -> Float[Array, "b t vocabulary"]:
        """Return the logits of the next character after each position."""
        h = self.embedding[tokens]
        for block in self.blocks:
            h = block(h)
        return self.norm(h) @ (self.embedding if self.head is None else self.head).T


def rotate(x: Float[Array, "b t heads c"], *, first: int = 0) -> Float[Array, "b t heads c"]:
    """Rotate the pairs (x_i, x_{i + c/2}) of each head at position p = first + t by the angle p 10000^(-2 i/c)."""
    time, half = x.shape[1], x.shape[-1] // 2
    positions = jnp.arange(first, first + time)
    angles = positions[:, None] * ROTARY_BASE ** (-jnp.arange(half) / half)
    cosine, sine = jnp.cos(angles)[:, None], jnp.sin(angles)[:, None]
    left, right = x[..., :half], x[..., half:]
    return jnp.concatenate([left * cosine - right * sine, left * sine + right * cosine], axis=-1)


def activate(x: Float[Array, " *shape"], activation: Activation) -> Float[Array, " *shape"]:
    """Apply GELU (its tanh form) or the squared ReLU."""
    return jax.nn.gelu(x) if activation == "gelu" else jnp.square(jax.nn.relu(x))


def transformer(
    shape: Shape,
    *,
    arm: Arm = "bitnet",
    seed: int = 0,
    surrogate: Surrogate | None = None,
    form: BitLinearForm = DEFAULT_FORM,
) -> Transformer:
    """Draw a Transformer; all arms and forms of one seed start from the same latent weights.

    `form` is how the arm `bitnet` quantises, `surrogate` its gradient, that of the form by default.

    Embeddings are N(0, 0.02^2) scaled to the width (0.02 sqrt(768/width), GPT-2's size at its width), projections
    N(0, 1/inputs), those that end a half smaller by sqrt(2 layers), so that the residual stream starts at the same size
    for any depth.

    Raises
    ------
    InputError
        For an unknown arm or surrogate, or groups that do not divide the width.
    """
    require_choice("arm", arm, ARMS)
    surrogate = form.surrogate if surrogate is None else surrogate
    require_choice("surrogate", surrogate, SURROGATES)
    width = shape.width
    groups = _groups(arm, form)
    keys = iter(jax.random.split(jax.random.key(seed), 2 + 6 * shape.layers))
    size = 0.02 * (768 / width) ** 0.5
    embedding = size * jax.random.normal(next(keys), (shape.vocabulary, width))
    head = None if shape.tied else size * jax.random.normal(next(keys), (shape.vocabulary, width))

    def draw(inputs: int, outputs: int, gain: float = 1.0, *, before_nonlinearity: bool = False) -> Projection:
        return projection(
            inputs,
            outputs,
            key=next(keys),
            arm=arm,
            surrogate=surrogate,
            gain=gain,
            form=form,
            before_nonlinearity=before_nonlinearity,
        )

    def norm(inputs: int) -> LayerNorm:
        return LayerNorm(jnp.ones(inputs), groups)

    def sub_norm(inputs: int) -> LayerNorm | None:
        return None if arm.endswith(PRE_LN) else norm(inputs)

    ends = (2 * shape.layers) ** -0.5
    blocks = tuple(
        Block(
            attention_norm=norm(width),
            query=draw(width, width),
            key=draw(width, width),
            value=draw(width, width),
            attention_sub_norm=sub_norm(width),
            output=draw(width, width, ends),
            feed_norm=norm(width),
            up=draw(width, 4 * width, before_nonlinearity=True),
            feed_sub_norm=sub_norm(4 * width),
            down=draw(4 * width, width, ends),
            heads=shape.heads,
            activation=shape.activation,
        )
        for _ in range(shape.layers)
    )
    return Transformer(embedding, blocks, LayerNorm(jnp.ones(width)), head)


def losses(model: Transformer, windows: Int[Array, "b t1"]) -> Float[Array, "b t"]:
    """Return the cross-entropy in nats of each character of a window but the first, given those before it."""
    logits = model(windows[:, :-1])
    chosen = jnp.take_along_axis(logits, windows[:, 1:, None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen


def as_arm(model: Transformer, arm: Arm) -> Transformer:
    """Return the same latent weights used in another arm: how `int8-absmax` and `sign-ptq` are made from `full`.

    Raises
    ------
    InputError
        For an unknown arm, or one with other norms or steps than the network has.
    """
    require_choice("arm", arm, ARMS)
    for block in model.blocks:
        has = block.feed_sub_norm is not None
        if has == arm.endswith(PRE_LN) or (layer_of(arm) == "elastic" and block.up.step is None):
            norms, steps = "with" if has else "without", "with" if block.up.step is not None else "without"
            raise InputError(
                f"a network {norms} SubLN, {steps} trained steps, cannot be used as the arm {arm!r}; train that arm"
            )
    return _changed(model, lambda one: dataclasses.replace(one, arm=layer_of(arm)))


def as_form(model: Transformer, form: BitLinearForm) -> Transformer:
    """Return the same latent weights used in another form of the arm `bitnet`; the surrogate stays.

    Raises
    ------
    InputError
        If the form's groups do not divide the width.
    """
    return _changed(model, lambda one: dataclasses.replace(one, form=form))


def _changed(model: Transformer, change: Callable[[Projection], Projection]) -> Transformer:
    """Change every projection, and the groups of the norms before them."""

    def each(one: object) -> object:
        return change(one) if isinstance(one, Projection) else one

    def block(old: Block) -> Block:
        new = jax.tree.map(each, old, is_leaf=lambda one: isinstance(one, Projection))
        groups = _groups(new.query.arm, new.query.form)
        if groups > 1:
            new.query.form.group_size(new.query.weight.shape[1])
        norms = {
            name: dataclasses.replace(value, groups=groups)
            for name, value in vars(new).items()
            if isinstance(value, LayerNorm)
        }
        return dataclasses.replace(new, **norms)

    return dataclasses.replace(model, blocks=tuple(map(block, model.blocks)))


def _groups(arm: Arm, form: BitLinearForm) -> int:
    """Return the groups of the norm before a projection."""
    return form.groups if layer_of(arm) == "bitnet" else 1
