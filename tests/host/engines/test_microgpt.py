"""Link 1: the figures that Karpathy's microgpt.py itself gives, from its own weights and order."""

import json
import random
from pathlib import Path

import microgpt
import pytest

ROOT = Path(__file__).parents[3]
FETCHED = ROOT / "data" / "names-makemore.txt"
REFERENCE = ROOT.parent / "shared" / "data" / "names-makemore-2018.txt"
DATA = REFERENCE if REFERENCE.exists() else FETCHED
STEPS = 1000

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="needs make names-makemore")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """microgpt.py's documents in its order, and its initial weights as the folder it would write.

    One generator, seeded with 42, first shuffles the documents and then draws the matrices, the
    head before the layers.
    """
    rng = random.Random(42)
    docs = DATA.read_text().split()
    charset = sorted(set("".join(docs)))
    rng.shuffle(docs)
    shapes = {"wte": (27, 16), "wpe": (16, 16), "lm_head": (27, 16)}
    for name in ("attn_wq", "attn_wk", "attn_wv", "attn_wo"):
        shapes[f"layer0.{name}"] = (16, 16)
    shapes |= {"layer0.mlp_fc1": (64, 16), "layer0.mlp_fc2": (16, 64)}
    weights = {
        name: [[rng.gauss(0, 0.08) for _ in range(columns)] for _ in range(rows)]
        for name, (rows, columns) in shapes.items()
    }
    folder = tmp_path_factory.mktemp("microgpt")
    meta = {"vocab_size": 27, "charset": charset}
    meta |= {"n_embd": 16, "n_head": 4, "n_layer": 1, "block_size": 16}
    (folder / "weights.json").write_text(json.dumps(weights))
    (folder / "meta.json").write_text(json.dumps(meta))
    return docs, folder


def test_first_loss_of_scalar(start: tuple[list[str], Path]) -> None:
    docs, folder = start
    model = microgpt.load(folder, engine="scalar")
    assert model.tokenizer.bos == 26
    config = microgpt.TrainConfig(steps=STEPS, order="sequential")
    record = next(microgpt.train(model, docs, config))
    assert record.loss == pytest.approx(3.3660, abs=5e-5)


def test_mean_loss_of_the_last_100_of_1000(start: tuple[list[str], Path]) -> None:
    docs, folder = start
    model = microgpt.load(folder, dtype="float64")
    config = microgpt.TrainConfig(steps=STEPS, order="sequential")
    losses = [record.loss for record in microgpt.train(model, docs, config)]
    assert losses[0] == pytest.approx(3.3660, abs=5e-5)
    assert sum(losses[-100:]) / 100 == pytest.approx(2.2761, abs=5e-5)
