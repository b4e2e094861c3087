"""Training with the native kernels against the portable ones, over sizes and switches."""

import gc

from ugpt import ops
from ugpt.adam import Adam
from ugpt.layout import Sizes
from ugpt.model import Model
from ugpt.rng import Rng

from tests.support.micropython.training import train_step
from tests.support.micropython.variants import VARIANTS, documents

IMPLEMENTATIONS = ("machine-code",)
HEAP = "2M"


def end_of(kernels, sizes, steps):
    """Return the parameters and the losses of training; two models do not fit at once."""
    model = Model(sizes, kernels)
    model.initialise(Rng(42))
    adam = Adam(model)
    docs = documents(sizes.vocab_size)
    losses = [train_step(model, adam, docs[step % len(docs)], step, 0.01) for step in range(steps)]
    return model.params, losses


def test_20_steps_of_every_variant_end_at_the_same_weights():
    from ugpt import native

    for name, variant in VARIANTS.items():
        sizes = Sizes(**variant)
        expected, losses = end_of(ops, sizes, 20)
        gc.collect()
        found, native_losses = end_of(native, sizes, 20)
        gc.collect()
        assert all(abs(a - b) < 1e-4 for a, b in zip(losses, native_losses)), name
        assert all(abs(a - b) < 1e-4 for a, b in zip(expected, found)), name
