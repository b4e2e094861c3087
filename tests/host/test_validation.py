"""The validation loss in training: when it is measured, on what, and what it shows."""

from itertools import pairwise

import microgpt
import numpy as np
import pytest
from microgpt import data
from microgpt.training import VALIDATIONS, split

NAMES = data.read_docs(data.NAMES)


@pytest.mark.parametrize("engine", ["tensor", "scalar"])
def test_held_out_documents_are_measured_and_never_learned(engine: str) -> None:
    docs = NAMES[:60]
    steps = 40 if engine == "tensor" else 4
    model = microgpt.create(microgpt.ModelConfig(n_embd=8), engine=engine)
    held = [model.tokenizer.encode(docs[index]) for index in split(docs, 0.2)[1]]
    learned = []
    step = model.train_step
    model.train_step = lambda tokens, *rest: learned.append(tokens) or step(tokens, *rest)
    config = microgpt.TrainConfig(steps=steps, validation=0.2)
    seen = list(microgpt.train(model, docs, config))
    assert not [tokens for tokens in learned if tokens in held]
    measured = [record.step for record in seen if record.validation is not None]
    assert len(measured) == min(steps, VALIDATIONS)
    assert measured[-1] == steps - 1
    expected = np.mean([model.loss_and_grads(tokens)[0] for tokens in held])
    assert seen[-1].validation == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("steps", [7, 20, 21, 39, 59])
def test_validation_is_measured_so_many_times_evenly_spaced(steps: int) -> None:
    docs = NAMES[:60]

    def measured(first: int = 0, **settings: int) -> list[int]:
        config = microgpt.TrainConfig(steps=steps, validation=0.2, **settings)
        records = microgpt.train(model, docs, config, first)
        return [record.step for record in records if record.validation is not None]

    model = microgpt.create(microgpt.ModelConfig(n_embd=4))
    whole = measured()
    assert len(whole) == min(steps, VALIDATIONS)
    assert whole[-1] == steps - 1
    gaps = {after - before for before, after in pairwise([-1, *whole])}
    assert max(gaps) - min(gaps) <= 1
    # A part of the run, and its rest, measure after the same steps; a part also after its last.
    part = measured(stop_after=6)
    assert part == sorted({step for step in whole if step < 6} | {5})
    assert measured(first=6) == [step for step in whole if step >= 6]


def test_memorising_shows() -> None:
    docs = NAMES[:40]
    model = microgpt.create(microgpt.ModelConfig(n_embd=32))
    seen = list(microgpt.train(model, docs, microgpt.TrainConfig(steps=1500, validation=0.25)))
    assert np.mean([record.loss for record in seen[-50:]]) < 1
    assert seen[-1].validation > 3
