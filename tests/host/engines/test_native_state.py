"""Engine native from step to step: what it keeps, what it must not keep, threads, processes."""

import copy
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import microgpt
import numpy as np
import pytest
from microgpt import data
from microgpt.engines import build
from microgpt.engines.base import Block, DivergedError, Model

from tests.support.engines import assert_close, assert_equal, built, documents, pair, state

DEFAULT = microgpt.ModelConfig()
OTHER = microgpt.ModelConfig(20, 5, 2, 24, True, False)
CONFIGS = pytest.mark.parametrize("config", [DEFAULT, OTHER], ids=["default", "other"])


def native(config: microgpt.ModelConfig = DEFAULT, threads: int = 1) -> Model:
    model, _ = pair(config)
    model.threads = threads
    return model


def trained(model: Model, steps: int = 12, batch: int = 5) -> list[float]:
    """Train on documents of several lengths, with masks now and then; return the losses."""
    texts = documents(model, steps * batch)
    losses = []
    for step in range(steps):
        some = texts[step * batch : (step + 1) * batch]
        masks = [[True] * len(text) for text in some] if step % 3 == 2 else None
        losses.append(model.train_batch(some, step, 0.01, masks))
        losses.append(model.train_step(texts[step], step, 0.005))
    return losses


@CONFIGS
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_same_training_gives_the_same_bits(config: microgpt.ModelConfig, threads: int) -> None:
    one, two = native(config, threads), native(config, threads)
    two.mean_loss(documents(two, 9))  # leaves other numbers in its buffers
    losses = trained(one)
    assert trained(two) == losses
    assert_equal(state(one), state(two))
    assert one.mean_loss(documents(one, 99)) == two.mean_loss(documents(two, 99))


class Poison:
    """Fills a model's buffers with NaN, but for the constants in them and the zeros of padding.

    Those are the numbers that are the same after several steps on other documents and weights.
    """

    def __init__(self, model: Model) -> None:
        self.buffers = (*model._buffers.work, model._flat.grads)
        self.written = [np.zeros(buffer.shape, bool) for buffer in self.buffers]
        self.then = [buffer.copy() for buffer in self.buffers]

    def learn(self) -> None:
        """Take note of what has changed since the last call."""
        for buffer, written, then in zip(self.buffers, self.written, self.then, strict=True):
            written |= buffer.view(np.int32) != then.view(np.int32)
            then[...] = buffer

    def apply(self) -> None:
        assert sum(map(np.sum, self.written)) > 5000
        for buffer, written in zip(self.buffers, self.written, strict=True):
            buffer[written] = np.nan


@CONFIGS
@pytest.mark.parametrize("threads", [1, 2])
def test_stale_buffers_are_never_read(config: microgpt.ModelConfig, threads: int) -> None:
    clean, dirty = native(config, threads), native(config, threads)
    texts = documents(clean, 40)
    masks = [None, [True] * 40] * 5

    def calls(model: Model, step: int, some: list[list[int]]) -> Iterator[object]:
        yield model.train_batch(some, step, 0.01, masks)
        yield model.mean_loss(some)
        yield model.batch_loss_and_grads(some, masks)
        yield model.train_step(some[0], step, 0.01)
        yield model.train_step(some[1], step, 0.01, masks[1])
        yield model.attention_maps(some[0][:2])
        yield model.loss_and_grads(some[2])

    list(calls(dirty, 0, texts[:10]))  # makes buffers as large as they get
    poison = Poison(dirty)
    for step in range(1, 4):
        list(calls(dirty, step, texts[step * 10 : step * 10 + 10]))
        poison.learn()
    list(calls(clean, 0, texts[:10]))
    for step in range(1, 4):
        list(calls(clean, step, texts[step * 10 : step * 10 + 10]))
    for step in range(4, 8):
        some = texts[(step - 4) * 10 : (step - 3) * 10]
        expected = calls(clean, step, some)
        poison.apply()
        for found in calls(dirty, step, some):
            assert pickle.dumps(found) == pickle.dumps(next(expected))
            poison.apply()
    assert_equal(state(dirty), state(clean))


@CONFIGS
def test_weights_written_between_two_steps_are_used(config: microgpt.ModelConfig) -> None:
    model = native(config)
    _, tensor = pair(config)
    texts = documents(model, 6)
    for step, text in enumerate(texts):
        for each in (model, tensor):
            each.train_step(text, step, 0.01)
        for name, matrix in model.weights.items():
            matrix[-1] = matrix[-1] * 1.25 + 0.01
            tensor.weights[name][...] = matrix  # with what rounding has made of them
        for call in (
            lambda each: each.loss_and_grads(texts[0])[0],
            lambda each: each.mean_loss(texts),
            lambda each: each.decoder()(1),
            lambda each: each.attention_maps(texts[0][:1])[1],
        ):
            assert call(model) == pytest.approx(call(tensor), rel=1e-4, abs=1e-5)


@CONFIGS
@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_give_the_gradient_of_one(config: microgpt.ModelConfig, threads: int) -> None:
    one, many = native(config), native(config, threads)
    for count in (1, 2, 5, 64):  # fewer and more documents than threads
        texts = documents(one, count)
        masks = [None if i % 2 else [True] * 40 for i in range(count)]
        loss, grads = many.batch_loss_and_grads(texts, masks)
        expected_loss, expected = one.batch_loss_and_grads(texts, masks)
        assert loss == pytest.approx(expected_loss, rel=1e-5)
        assert_close(grads, expected, 1e-5)
        assert many.mean_loss(texts) == pytest.approx(expected_loss, rel=1e-5)
    # Documents of which the longest is the last: a thread may have none.
    texts = sorted(documents(one, 3), key=len)
    many.batch_loss_and_grads(texts[::-1])
    assert_close(many.batch_loss_and_grads(texts)[1], one.batch_loss_and_grads(texts)[1], 1e-5)
    many.threads = 1
    assert_equal([many.batch_loss_and_grads(texts)[1]], [one.batch_loss_and_grads(texts)[1]])


def together(*calls: Callable[[], object]) -> None:
    """Run calls in threads of Python, all at the same time; raise what one of them raised."""
    errors: list[BaseException] = []

    def run(call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for error in errors:
        raise error


@pytest.mark.parametrize("threads", [1, 2])
def test_models_in_threads_of_python_do_not_meet(threads: int) -> None:
    alone = [native(config) for config in (DEFAULT, OTHER, DEFAULT)]
    at_once = [native(config, threads) for config in (DEFAULT, OTHER, DEFAULT)]
    for model in alone:
        model.threads = threads
    expected = [trained(model, 40) for model in alone]
    found: dict[int, list[float]] = {}

    def train(index: int) -> None:
        found[index] = trained(at_once[index], 40)

    together(*[lambda i=i: train(i) for i in range(3)])
    assert [found[i] for i in range(3)] == expected


@pytest.mark.parametrize("threads", [1, 2])
def test_one_model_in_two_threads_of_python_does_not_crash(threads: int) -> None:
    """What it computes then is not said, as in engine tensor: only that the process lives."""
    model = native(OTHER, threads)
    few, many = documents(model, 2), documents(model, 200)

    def train(texts: list[list[int]], times: int) -> None:
        for step in range(times):
            try:
                model.train_batch(texts, step, 0.001)
                model.mean_loss(texts)
            except (DivergedError, RuntimeError):
                pass

    together(lambda: train(few, 300), lambda: train(many, 10), lambda: train(few[:1], 300))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_computes_on() -> None:
    model, same = native(DEFAULT, 2), native(DEFAULT, 2)
    texts = documents(model, 16)
    losses = [each.train_batch(texts, 0, 0.01) for each in (model, same)]
    child = os.fork()
    if not child:
        right = False
        try:
            right = model.train_batch(texts, 1, 0.01) == same.train_batch(texts, 1, 0.01)
        finally:
            os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    losses = [each.train_batch(texts, 1, 0.01) for each in (model, same)]
    assert losses[0] == losses[1]


@CONFIGS
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_a_number_stops_before_the_update(
    config: microgpt.ModelConfig, bad: float
) -> None:
    model = native(config)
    trained(model, 3)
    texts = documents(model, 4)
    for name, matrix in model.weights.items():
        kept = matrix[0].copy()
        matrix[0] = bad
        before = state(model)
        tokens = [0] * 6  # uses the first row of every matrix
        for call in (
            lambda tokens=tokens: model.train_step(tokens, 7, 0.01),
            lambda tokens=tokens: model.train_batch([tokens, *texts], 7, 0.01),
            lambda tokens=tokens: model.train_batch([*texts, tokens], 7, 0.01, None, 5),
        ):
            with pytest.raises(DivergedError, match="at step 7 is (nan|inf|-inf)"):
                call()
            for part, then in zip(state(model), before, strict=True):
                for other, values in part.items():
                    assert np.array_equal(values, then[other], equal_nan=True), (name, other)
        matrix[0] = kept
    assert np.isfinite(model.train_step([0] * 6, 7, 0.01))


def test_100_000_steps_end_where_those_of_tensor_do() -> None:
    """On average: after so many, a change of 1e-7 in one weight moves a loss by about 0.006."""
    texts = data.read_docs(data.NAMES)
    config = microgpt.TrainConfig(100_000, validation=0.1)
    fresh = microgpt.create(DEFAULT, data.charset_of(texts), engine="tensor")

    def mean_of(runs: int, create: Callable[..., Model]) -> float:
        losses = []
        for run in range(runs):
            model = create(DEFAULT, fresh.tokenizer, fresh.weights)
            model.weights["wte"][0, 0] += run * 1e-6
            *_, last = microgpt.train(model, texts, config)
            losses.append(last.validation)
        return sum(losses) / runs

    tensor = mean_of(3, partial(build, engine="tensor", dtype="float32"))
    assert mean_of(8, built) == pytest.approx(tensor, abs=0.01)
    assert tensor < 2.25


def test_a_copy_trains_by_itself() -> None:
    model = native()
    model.train_step([0, 5, 13, 1, 0], 0, 0.01)
    twin = copy.deepcopy(model)
    for one in (model, twin):
        one.train_step([0, 1, 2, 0], 1, 0.01)
    assert_equal(state(model), state(twin))
    before = copy.deepcopy(state(model))
    twin.train_step([0, 1, 2, 0], 2, 0.01)
    assert_equal(state(model), before)


def test_a_model_is_handed_to_another_process() -> None:
    model = native()
    expected = copy.deepcopy(model).train_step([0, 5, 13, 1, 0], 0, 0.01)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(model.train_step, [0, 5, 13, 1, 0], 0, 0.01).result() == expected


def test_a_mask_for_each_document() -> None:
    model = native()
    with pytest.raises(ValueError):
        model.mean_loss([[0, 1, 2], [0, 3, 4]], [[True, True]])
    with pytest.raises(ValueError, match="at least 2 tokens"):
        model.batch_loss_and_grads([[0], [0, 1, 2]], [None, [True, True]])


def test_a_model_that_computes_refuses_another_thread() -> None:
    model = native()
    before = copy.deepcopy(state(model))
    model._busy[0] = 1
    for tokens in ([0, 1, 0], [0, *[1] * 12, 0]):  # the second needs larger buffers
        with pytest.raises(RuntimeError, match="another thread is computing"):
            model.train_step(tokens, 0, 0.01)
    assert_equal(state(model), before)
    model._busy[0] = 0
    model.train_step([0, 1, 0], 0, 0.01)


def test_many_losses_are_measured_in_several_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    model = native()
    texts = documents(model, 50)
    expected = model.mean_loss(texts)
    calls = []
    whole = type(model)._native

    class Counted:
        def __init__(self, block: Block) -> None:
            self.work = whole(model, block)

        def loss(self, first: int, count: int, with_gradient: bool) -> float:
            calls.append((first, count))
            return self.work.loss(first, count, with_gradient)

    monkeypatch.setattr(type(model), "_native", lambda _, block: Counted(block))
    assert model.mean_loss(texts) == expected
    assert calls == [(0, 50)]
    calls.clear()
    monkeypatch.setattr("microgpt.engines.native.AT_ONCE", 1)
    assert model.mean_loss(texts) == pytest.approx(expected, rel=1e-6)
    assert calls == [(first, 1) for first in range(50)]
