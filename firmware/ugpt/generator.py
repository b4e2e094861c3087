"""Sampling: names made up letter by letter, one new position a token."""

from array import array

from .tokenizer import BOS, decode, encode_into


class Generator:
    """Draws documents from `model` with `rng`; `temperature` > 0, and the lower the more likely."""

    def __init__(self, model, rng, temperature=0.5):
        if not temperature > 0:
            raise ValueError("temperature must be above 0, not %s" % temperature)
        view = model.kernels.view
        vocab_size = model.sizes.vocab_size
        self.model = model
        self.rng = rng
        self.probabilities = array("f", bytes(4 * vocab_size))
        self.factor = array("f", (1.0 / temperature,))
        self._probabilities = view(self.probabilities, 0, vocab_size)
        self._factor = view(self.factor, 0, 1)

    def name(self, prompt=""):
        """Return one document that begins with `prompt` (a..z), at most block_size letters long.

        Overwrites the model's tokens and activations, nothing else of it.
        """
        model = self.model
        tokens = model.tokens
        vocab_size = model.sizes.vocab_size
        letters = prompt.encode()
        known = min(len(letters), model.sizes.block_size)
        encode_into(tokens, letters, known)
        if known:
            model.forward(0, known)  # fills the KV cache
        for t in range(known, model.sizes.block_size):
            model.forward(t, t + 1)
            model.kernels.softmax(
                self._probabilities, model.logits, self._factor, vocab_size, model.constants
            )
            token = self.rng.draw(self.probabilities, vocab_size)
            if token == BOS:
                return decode(tokens[1 : t + 1])
            tokens[t + 1] = token
        return decode(tokens[1:])
