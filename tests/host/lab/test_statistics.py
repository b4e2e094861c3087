"""Which differences between variants are larger than the noise of their seeds."""

import pytest
from microgpt.lab.ablation import Result
from microgpt.lab.comparison import cells
from microgpt.lab.statistics import MEASURES, pairwise, remarks, summary


def results(*losses: float | None, variant: str) -> list[Result]:
    measures = dict.fromkeys(MEASURES, 1.0)
    facts = {"variant": variant, "parameters": 4192, **measures}
    return [facts | {"validation_loss": loss} for loss in losses]


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


def test_a_summary_and_its_row_in_the_table() -> None:
    (row,) = summary(results(2.0, 2.2, variant="a"))
    assert (row.variant, row.parameters, row.seeds) == ("a", 4192, 2)
    assert row.as_json()["validation_loss"] == pytest.approx(2.1)
    assert row.as_json()["validation_loss_sd"] == pytest.approx(0.02**0.5)
    assert cells(row)[3] == "2.1000 ± 0.1414"
    (row,) = summary(results(None, variant="a"))
    assert row.as_json()["validation_loss"] is row.as_json()["validation_loss_sd"] is None
    assert cells(row) == ["a", "1.0000", "1.0000", "-", "1", "1", "4,192"]
