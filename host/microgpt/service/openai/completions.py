"""POST /v1/completions: documents that begin with prompts, as in `microgpt generate --prompt`."""

from collections.abc import Iterator, Sequence
from itertools import chain

from typing_extensions import TypedDict

from microgpt.errors import UserError
from microgpt.sampling import Decoder, Drawn, Draws, continued, folded_prompt
from microgpt.service.openai.answer import Answer, Choice, Object, Whole
from microgpt.service.openai.generation import Continuation, FinishReason, Piece
from microgpt.service.openai.logprobs import CompletionLogprobs, Names, in_document
from microgpt.service.openai.models import Served
from microgpt.service.openai.requests import CompletionRequest
from microgpt.service.pool import check
from microgpt.service.problems import Refusal


class DocumentChoice(TypedDict):
    """One of n documents that begin with a prompt, what follows the prompt."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason


class Completion(Whole):
    """The whole answer."""

    choices: list[DocumentChoice]


class CompletionAnswer(Answer):
    """Documents, choice i of each prompt with the random numbers of document i of the seed."""

    PREFIX = "cmpl"
    OBJECT = EVENT_OBJECT = "text_completion"

    def __init__(self, served: Served, request: CompletionRequest) -> None:
        """Raise Refusal if the model cannot read a prompt."""
        super().__init__(served, request)
        self.request = request
        self.check_size(len(request.prompt) * request.n)
        try:
            prompts = [folded_prompt(self.model, prompt) for prompt in request.prompt]
        except UserError as error:
            raise Refusal(f"prompt: {error}", "prompt") from None
        tokenizer = self.model.tokenizer
        self._prompts = [[tokenizer.bos, *tokenizer.characters(prompt)] for prompt in prompts]
        self.prompt_tokens = sum(map(len, self._prompts))
        self._names = Names(tokenizer)

    def choices(self) -> Iterator[Choice]:
        request = self.request
        for number, tokens in enumerate(self._prompts):
            for i in range(request.n):
                decoder = Decoder(self.model, check)
                drawn = continued(decoder, tokens, request.sampling, Draws(self.seed, i))
                document = Continuation(drawn, self._text_of, self.most_tokens, request.stop)
                index = number * request.n + i
                if request.echo:
                    yield Choice(index, chain(self._echoed(decoder, tokens), document), document)
                else:
                    yield Choice(index, document, document, len(tokens) - 1)

    def _echoed(self, decoder: Decoder, tokens: Sequence[int]) -> Iterator[Piece]:
        """Yield the pieces of a prompt, each with the logits from which it would be drawn."""
        for t in range(1, len(tokens)):
            token = tokens[t]
            yield Piece(self._names.name(token), Drawn(token, decoder.read(tokens[:t])))

    def _text_of(self, token: int) -> str | None:
        return None if token == self.model.tokenizer.bos else self._names.name(token)

    def logprobs(self, pieces: Sequence[Piece], offset: int) -> object:
        return in_document(self._names, pieces, self.request.alternatives or 0, offset)

    def message(self, text: str) -> Object:
        return {"text": text}

    delta = message
