"""Which replies of some conversations a model gives word for word at temperature 0."""

from collections.abc import Iterable, Sequence

import numpy as np

from microgpt.chat.conversations import Conversation, TooLongError, conversation_document
from microgpt.engines import AUTO, build
from microgpt.engines.base import Model

# Multiply-adds that counting may take, about a second on one core; a larger model is asked for the
# replies of the first conversations only.
MOST_WORK = 5e10


def replies_right(model: Model, conversations: Iterable[Conversation]) -> tuple[int, int, bool]:
    """Return how many replies a model gives word for word, each after what was said, and of all.

    The last value is whether these are of the first conversations only; see MOST_WORK.

    At temperature 0 every token of a reply is the likeliest after the tokens before it. So the
    reply is the one of the conversation, and ends where that ends, if each of its tokens is the
    likeliest after those before it in the conversation: one forward pass decides a conversation.
    """
    if not hasattr(model, "attention_maps"):
        model = build(model.config, model.tokenizer, model.weights, AUTO, "float32")
    right = replies = 0
    work, part = 0.0, False
    for talk in conversations:
        try:
            document, _ = conversation_document(
                model.tokenizer, talk, model.config.block_size, assistant_only=True
            )
        except TooLongError:
            continue
        tokens, mask = document.tokens, document.mask or []
        work += len(tokens) * model.parameter_count
        if work > MOST_WORK and replies:
            part = True
            break
        n = model.positions(tokens)
        probabilities = model.attention_maps(tokens[:n])[1]  # type: ignore[attr-defined]
        wrong = (probabilities.argmax(1) != tokens[1 : n + 1]) & mask[:n]
        before = [False, *mask[: n - 1]]
        starts = np.flatnonzero(np.array(mask[:n]) & ~np.array(before))
        wrong_by_reply = np.add.reduceat(wrong, starts)
        right += int((wrong_by_reply == 0).sum())
        replies += len(starts)
    return right, replies, part


def report(model: Model, training: Sequence[Conversation], held: Sequence[Conversation]) -> str:
    """Return in words how many replies of the training and of the validation set are right."""
    counts = []
    for talks, where in ((training, "training"), (held, "validation")):
        if talks:
            right, replies, part = replies_right(model, talks)
            counts.append(f"{right:,} of {'the first ' if part else ''}{replies:,} in {where}")
    return "replies right at temperature 0: " + ", ".join(counts)
