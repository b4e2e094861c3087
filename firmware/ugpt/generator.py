"""Sampling: names generated one token at a time, with the keys and values of earlier positions."""

from .tokenizer import BOS

MAX_TEMPERATURE = 100
# In single precision the reciprocal of a smaller one can be infinite, and infinity times 0 is NaN.
SMALLEST_DIVISOR = 1e-30


class Generator:
    """Generates documents from `model` with random numbers from `rng`, as text by `tokenizer`.

    `temperature`, from 0 to 100, divides the logits: the lower it is, the more often the likeliest
    token is drawn. At 0 it always is, and no random number is drawn. Raises ValueError for any
    other temperature.
    """

    def __init__(self, model, rng, tokenizer, temperature=0.5):
        if not 0 <= temperature <= MAX_TEMPERATURE:
            raise ValueError(
                "temperature must be from 0 to %d, not %s" % (MAX_TEMPERATURE, temperature)
            )
        self.model = model
        self.rng = rng
        self.tokenizer = tokenizer
        self.greedy = temperature == 0
        self.factor = 1.0 / max(temperature, SMALLEST_DIVISOR)
        # The model's: the kernels may not reach another.
        self.probabilities = memoryview(model.gradient_array)[: model.sizes.vocab_size]

    def name(self, prompt=""):
        """Return one document that begins with `prompt`, at most block_size characters long.

        Raises ValueError if the prompt has more than block_size - 1 characters or one that the
        tokenizer lacks. Overwrites the model's tokens and activations, but no weights.
        """
        model = self.model
        tokens = model.tokens
        vocab_size = model.sizes.vocab_size
        block_size = model.sizes.block_size
        known = len(prompt)
        if known >= block_size:
            raise ValueError("a prompt is at most %d characters, not %d" % (block_size - 1, known))
        self.tokenizer.encode_into(tokens, prompt)
        model.loss_array[0] = self.factor
        if known:
            model.forward(0, known)  # fills the KV cache
        for t in range(known, block_size):
            model.forward(t, t + 1)
            model.kernels.softmax(
                model.gradient, model.logits, model.loss, vocab_size, model.constants
            )
            token = self._next(vocab_size)
            if token == BOS:
                return self.tokenizer.decode(tokens[1 : t + 1])
            tokens[t + 1] = token
        return self.tokenizer.decode(tokens[1:])

    def _next(self, vocab_size):
        """Return a token drawn from `probabilities`, or the first of the likeliest if greedy."""
        p = self.probabilities
        if self.greedy:
            return max(range(vocab_size), key=lambda token: p[token])
        return self.rng.draw(p, vocab_size)
