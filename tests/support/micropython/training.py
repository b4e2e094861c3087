"""Gradients and training steps of a model, for tests; runs in MicroPython too."""

from array import array


def loss_and_grads(model, n):
    """Return the loss and all gradients, flat as `params`, of the model's tokens; update nothing.

    Each block of gradients must come exactly once.
    """
    grads = array("f", bytes(4 * len(model.params)))
    left = set(range(len(model.blocks)))

    def collect(index):
        left.remove(index)
        offset, count, buffer = model.blocks[index]
        for i in range(count):
            grads[offset + i] = buffer[i]

    loss = model.loss_of(n)
    model.backward(n, collect)
    assert not left
    return loss, grads


def train_step(model, adam, tokens, step, lr):
    """Train on the tokens of a document; return the loss before."""
    n = model.set_tokens(tokens)
    loss = model.loss_of(n)
    adam.begin(step, lr)
    model.backward(n, adam.update)
    return loss
