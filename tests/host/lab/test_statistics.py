"""Which differences between variants are larger than the noise of their seeds."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from microgpt.lab.ablation import Result
from microgpt.lab.comparison import cells
from microgpt.lab.statistics import MEASURES, divergences, pairwise, remarks, summary
from scipy.stats import ttest_rel

LOSS = st.floats(0.1, 10)


def results(*losses: float | None, variant: str) -> list[Result]:
    measures = dict.fromkeys(MEASURES, 1.0)
    facts = {"variant": variant, "parameters": 4192, "diverged": None, **measures}
    return [
        facts | {"validation_loss": loss, "train": {"seed": seed}}
        for seed, loss in enumerate(losses)
    ]


def diverged(result: Result, step: int) -> Result:
    return result | dict.fromkeys(MEASURES) | {"diverged": step}


def test_noise_and_what_is_larger() -> None:
    # Paired by seed: b is always 0.1 above a, though the seeds differ by more; c is noise.
    a = results(2.0, 2.3, 2.6, 2.2, 2.4, variant="a")
    b = results(2.1, 2.401, 2.7, 2.299, 2.5, variant="b")
    c = results(2.3, 2.1, 2.5, 2.5, 2.2, variant="c")
    differences = pairwise(a + b + c)
    pairs = {(it.a, it.b): it for it in differences}
    assert pairs["a", "b"].larger_than_noise
    assert pairs["a", "b"].difference == pytest.approx(0.1)
    assert not pairs["a", "c"].larger_than_noise
    assert not pairs["b", "c"].larger_than_noise
    said = remarks(differences, 5)
    assert said[0].startswith("1 of 3 differences are larger than the noise of 5 seeds")
    assert said[1].startswith("b against a: validation loss +0.1000")
    same = pairwise(a + results(2.0, 2.3, 2.6, 2.2, 2.4, variant="d"))
    assert not same[0].larger_than_noise
    assert pairwise(a[:1] + b[:1]) == []
    assert "--seeds 5" in remarks([], 1)[0]


def test_without_a_validation_loss_the_mean_loss_is_compared() -> None:
    (difference,) = pairwise(results(None, None, variant="a") + results(None, None, variant="b"))
    assert difference.measure == "mean_loss"
    assert difference.p == 1


def test_what_diverged_is_in_no_statistic() -> None:
    a = results(2.0, 2.3, 2.6, 2.2, 2.4, variant="a")
    b = results(2.1, 2.401, 2.7, 2.299, 2.5, variant="b")
    c = results(2.0, 2.1, 2.0, 2.1, 2.0, variant="c")
    b[3] = diverged(b[3], 17)
    c = [diverged(result, step) for step, result in enumerate(c, 5)]
    row_a, row_b, row_c = summary(a + b + c)
    assert row_b.measures["validation_loss"].mean == pytest.approx((2.1 + 2.401 + 2.7 + 2.5) / 4)
    assert (row_b.seeds, row_b.diverged) == (5, {3: 17})
    assert (row_b.as_json()["diverged"], row_b.as_json()["diverged_at_step"]) == (1, 17)
    assert row_a.as_json()["diverged_at_step"] is None
    assert cells(row_c) == ["c", "diverged at step 5", "-", "-", "-", "-", "4,192"]
    assert divergences([row_a, row_b]) == [
        "b: 1 of 5 seeds diverged and are left out (seed 3 at step 17)."
    ]
    # The pairs are of the same seeds: b without its fourth against a without its fourth.
    (difference,) = pairwise(a + b + c)
    assert (difference.a, difference.b) == ("a", "b")
    assert difference.difference == pytest.approx((0.1 + 0.101 + 0.1 + 0.1) / 4)
    assert difference.larger_than_noise
    assert remarks(pairwise(a + c), 5) == [
        "No two variants have two seeds that both finished: no difference can be tested."
    ]


def test_the_mean_loss_is_compared_if_only_one_has_a_validation_loss() -> None:
    both = results(2.0, 2.1, variant="a") + results(None, None, variant="b")
    assert [difference.measure for difference in pairwise(both)] == ["mean_loss"]


def test_a_summary_and_its_row_in_the_table() -> None:
    (row,) = summary(results(2.0, 2.2, variant="a"))
    assert (row.variant, row.parameters, row.seeds) == ("a", 4192, 2)
    assert row.as_json()["validation_loss"] == pytest.approx(2.1)
    assert row.as_json()["validation_loss_sd"] == pytest.approx(0.02**0.5)
    assert cells(row)[3] == "2.1000 ± 0.1414"
    (row,) = summary(results(None, variant="a"))
    assert row.as_json()["validation_loss"] is row.as_json()["validation_loss_sd"] is None
    assert cells(row) == ["a", "1.0000", "1.0000", "-", "1", "1", "4,192"]


@given(st.lists(st.tuples(LOSS, LOSS), min_size=2, max_size=20))
def test_the_test_is_that_of_scipy(losses: list[tuple[float, float]]) -> None:
    before, after = zip(*losses, strict=True)
    changes = np.subtract(after, before)
    assume(changes.std() > 1e-3)
    (found,) = pairwise(results(*before, variant="a") + results(*after, variant="b"))
    expected = ttest_rel(before, after).pvalue
    assert found.p == pytest.approx(expected, rel=1e-9)
    assert found.difference == pytest.approx(changes.mean(), rel=1e-9, abs=1e-12)


def test_a_difference_that_is_the_same_with_every_seed_is_no_noise() -> None:
    (found,) = pairwise(results(2.0, 2.5, variant="a") + results(2.5, 3.0, variant="b"))
    assert (found.difference, found.p, found.larger_than_noise) == (0.5, 0, True)
