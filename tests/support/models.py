"""Models that several tests need; tests/conftest.py makes the fixtures known."""

from pathlib import Path

import microgpt
import pytest
from microgpt import data
from microgpt.chat import conversations, forms

# Conversations that a small model learns in seconds; they stay when the shipped ones change.
TALKS = Path(__file__).with_name("talks.jsonl")


@pytest.fixture(scope="session")
def memorised() -> microgpt.Model:
    """A chat model that has learned the conversations of TALKS by heart."""
    talks, _ = forms.read_conversations(TALKS)
    config = microgpt.ModelConfig(n_embd=32, block_size=128)
    charset = data.charset_of([message.content for talk in talks for message in talk])
    model = microgpt.create(config, charset, special_tokens=conversations.SPECIAL_TOKENS)
    chats = conversations.chat_documents(model.tokenizer, talks, 128, assistant_only=True)
    for _ in microgpt.train(model, chats.documents, microgpt.TrainConfig(steps=2500)):
        pass
    return model


@pytest.fixture(scope="session")
def chat_folder(memorised: microgpt.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a model folder."""
    folder = tmp_path_factory.mktemp("chat") / "model"
    memorised.save(folder)
    return folder


@pytest.fixture(scope="session")
def names_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of names as a folder; it cannot chat."""
    model = microgpt.create(microgpt.ModelConfig())
    for _ in microgpt.train(model, ["emma", "olivia", "ava"], microgpt.TrainConfig(steps=100)):
        pass
    folder = tmp_path_factory.mktemp("names") / "model"
    model.save(folder)
    return folder


@pytest.fixture(scope="session")
def slow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model that at temperature 0 fills its long block, which takes it many seconds."""
    config = microgpt.ModelConfig(n_embd=64, n_layer=4, block_size=4096)
    special = conversations.SPECIAL_TOKENS
    model = microgpt.create(config, special_tokens=special)
    for token in (0, *map(model.tokenizer.special, special)):
        model.weights["lm_head"][token] = 0  # never the likeliest
    folder = tmp_path_factory.mktemp("slow") / "model"
    model.save(folder)
    return folder


@pytest.fixture
def told() -> microgpt.Model:
    """A chat model that knows a turn of the system, and replies "b" without end."""
    config = microgpt.ModelConfig(n_embd=8, n_head=2, block_size=24)
    tokens = (*conversations.SPECIAL_TOKENS, conversations.SYSTEM)
    model = microgpt.create(config, "ab", special_tokens=tokens)
    for name in ("wpe", "layer0.attn_wo", "layer0.mlp_fc2", "lm_head"):
        model.weights[name][:] = 0
    model.weights["wte"][:] = model.weights["lm_head"][2] = 1
    return model
