"""The generator: Marsaglia's sequence, and draws that follow their distributions."""

from ugpt.rng import Rng, mixed

from tests.support.micropython.arrays import raises


def from_state(state):
    rng = Rng(1)
    rng.state = state
    return rng


def test_known_sequence():
    rng = from_state(1)
    assert [rng.next() for _ in range(5)] == [270369, 67634689, 2647435461, 307599695, 2398689233]
    rng = from_state(2463534242)  # the seed of Marsaglia's paper
    assert rng.next() == 723471715


def test_a_seed_is_mixed_as_murmurhash3_ends():
    # MurmurHash3 of an empty text: its published results for the seeds 0, 1 and 2**32 - 1.
    assert [mixed(seed) for seed in (0, 1, 0xFFFFFFFF)] == [0, 0x514E28B7, 0x81F16F39]
    assert Rng(1).state == 0x514E28B7


def test_the_first_draws_of_small_seeds_are_as_random_as_later_ones():
    count = 1000
    for skipped in (0, 1):
        total = squares = indices = 0.0
        for seed in range(1, count + 1):
            rng = Rng(seed)
            indices += Rng(seed).below(32469)
            for _ in range(skipped):
                rng.gauss()
            draw = rng.gauss()
            total += draw
            squares += draw * draw
        mean = total / count
        assert abs(mean) < 0.13, mean  # 4 standard errors
        assert abs((squares / count - mean * mean) ** 0.5 - 1.0) < 0.09
        assert abs(indices / count / 32469 - 0.5) < 0.037


def test_a_seed_outside_32_bits_or_0_is_refused():
    for seed in (0, -1, 1 << 32):
        assert raises(ValueError, Rng, seed)


def test_state_is_all_there_is():
    rng = Rng(7)
    rng.gauss()
    rng.uniform()
    again = from_state(rng.state)
    assert [rng.gauss() for _ in range(5)] == [again.gauss() for _ in range(5)]


def test_uniform_range_and_mean():
    rng = Rng(42)
    count = 4000
    total = 0.0
    for _ in range(count):
        draw = rng.uniform()
        assert 0.0 <= draw < 1.0
        assert draw * 16777216 == int(draw * 16777216)
        total += draw
    assert abs(total / count - 0.5) < 0.02  # 4 standard errors


def test_draws_are_made_from_the_next_state():
    for seed in (1, 7, 0xFFFFFFFF):
        for count in (1, 2, 27, 32469, (1 << 22) + 1):
            state = Rng(seed).next()
            assert Rng(seed).below(count) == state % count
            assert Rng(seed).uniform() == (state >> 8) / 16777216


def test_below_range_and_spread():
    rng = Rng(3)
    counts = [0] * 10
    for _ in range(5000):
        counts[rng.below(10)] += 1
    assert all(abs(count - 500) < 90 for count in counts)  # 4 standard deviations


def test_gauss_mean_and_variance():
    rng = Rng(42)
    count = 10000
    total = squares = beyond = 0.0
    for _ in range(count):
        draw = rng.gauss()
        total += draw
        squares += draw * draw
        beyond += abs(draw) > 1.96
    assert abs(total / count) < 0.04  # 4 standard errors
    assert abs(squares / count - (total / count) ** 2 - 1.0) < 0.057
    assert abs(beyond / count - 0.05) < 0.009


def test_categorical_frequencies():
    rng = Rng(11)
    weights = [0.0, 1.0, 0.0, 3.0, 4.0, 0.0]
    counts = [0] * 6
    for _ in range(8000):
        counts[rng.draw(weights, 6)] += 1
    assert counts[0] == counts[2] == counts[5] == 0
    for i, expected in ((1, 1000), (3, 3000), (4, 4000)):
        assert abs(counts[i] - expected) < 180  # 4 standard deviations


def test_draw_looks_at_count_weights_only():
    rng = Rng(5)
    assert all(rng.draw([1.0, 1.0, 100.0], 2) < 2 for _ in range(100))


def test_one_weight_is_always_drawn():
    rng = Rng(5)
    assert all(rng.draw([0.0, 1e-30], 2) == 1 for _ in range(100))
