"""Settings: a broken one is remarked on, and its default used."""

import json
import os

from ugpt import app, checkpoint
from ugpt.tokenizer import Tokenizer

from tests.support.micropython.arrays import raises

DEFAULTS = {name: app.SETTINGS[name][0] for name in app.SETTINGS}
PATH = "test-settings.json"


def settings_from(text):
    with open(PATH, "w") as file:
        file.write(text)
    try:
        return app.read_settings(PATH)[0]
    finally:
        os.remove(PATH)


def test_no_file_means_defaults():
    assert raises(OSError, open, PATH)
    assert app.read_settings(PATH) == (DEFAULTS, [])


def test_given_settings_are_used():
    given = {"seed": 7, "steps": 5, "lr": 0.02, "temperature": 1, "log_every": 1}
    given["save_every_s"] = 0
    given.update(n_embd=24, n_head=3, n_layer=2, block_size=32)
    given.update(tie_lm_head=True, input_rmsnorm=False)
    assert set(given) == set(app.SETTINGS)
    assert settings_from(json.dumps(given)) == given


def test_a_byte_order_mark_is_allowed():
    assert settings_from("\ufeff" + '{"seed": 7}')["seed"] == 7


def test_broken_settings_give_defaults():
    for text in (
        "",
        "{",
        "[]",
        "null",
        '{"steps": "many"}',
        '{"steps": 0}',
        '{"steps": 1.5}',
        '{"steps": true}',
        '{"lr": -1}',
        '{"seed": 4294967296}',
        '{"speed": 1}',
        '{"n_embd": 0}',
        '{"n_embd": 1025}',
        '{"n_head": 65}',
        '{"n_layer": 2.0}',
        '{"n_layer": true}',
        '{"block_size": 257}',
        '{"block_size": null}',
        '{"tie_lm_head": 1}',
        '{"tie_lm_head": "true"}',
        '{"input_rmsnorm": 0}',
    ):
        assert settings_from(text) == DEFAULTS, text


def test_a_remark_says_what_is_allowed_and_what_is_used():
    for text, expected in (
        ('{"n_embd": 0}', "n_embd must be a whole number from 1 to 1024: using 16"),
        ('{"tie_lm_head": 1}', "tie_lm_head must be true or false: using false"),
        ('{"input_rmsnorm": "x"}', "input_rmsnorm must be true or false: using true"),
        (
            '{"block_size": 0}',
            "block_size must be a whole number from 1 to 256: using that of the names",
        ),
    ):
        with open(PATH, "w") as file:
            file.write(text)
        assert app.read_settings(PATH)[1] == [PATH + ": " + expected]
        os.remove(PATH)


HEADER = {
    "vocab_size": 60,
    "n_embd": 24,
    "n_head": 3,
    "n_layer": 2,
    "block_size": 32,
    "seed": 7,
    "steps": 9,
    "lr": 0.5,
    "origin": checkpoint.MIXED | checkpoint.TIED | checkpoint.NO_INPUT_RMSNORM,
}
SAVED = {"n_embd": 24, "n_head": 3, "n_layer": 2, "block_size": 32}
SAVED.update(tie_lm_head=True, input_rmsnorm=False, seed=7, steps=9, lr=0.5)


def test_what_is_missing_is_that_of_the_saved_run():
    assert app.settings_of(HEADER) == SAVED
    settings = app.read_settings(PATH, HEADER)[0]  # there is no such file
    assert settings == dict(DEFAULTS, **SAVED)
    with open(PATH, "w") as file:
        file.write('{"n_embd": 48, "tie_lm_head": false, "n_layer": 0}')
    settings, remarks = app.read_settings(PATH, HEADER)
    os.remove(PATH)
    assert settings == dict(DEFAULTS, **dict(SAVED, n_embd=48, tie_lm_head=False))
    assert remarks[0].endswith("n_layer must be a whole number from 1 to 64: using 2")


class Documents:
    """What the sizes depend on of a list of documents."""

    record_size = 48
    tokenizer = Tokenizer("ab")


def test_the_sizes_are_those_of_the_settings_and_the_documents():
    assert sizes(DEFAULTS) == (3, 16, 4, 1, 48, False, True)
    assert sizes(SAVED) == (3, 24, 3, 2, 32, True, False)


def sizes(settings):
    found = app.sizes_of(settings, Documents)
    return (found.vocab_size,) + tuple(getattr(found, name) for name in app.SIZES)


def test_sizes_that_contradict_each_other_are_an_error():
    try:
        app.sizes_of(dict(DEFAULTS, n_head=3), Documents)
        raise AssertionError("no error")
    except app.SettingsError as error:
        assert str(error) == "n_embd 16 is not divisible by n_head 3"


def test_a_temperature_is_0_to_100():
    for temperature in (0, 0.0, 1e-30, 100):
        assert settings_from('{"temperature": %s}' % temperature)["temperature"] == temperature
    for temperature in ("-0.1", "100.1", "1e400", "NaN"):
        assert settings_from('{"temperature": %s}' % temperature) == DEFAULTS, temperature


def test_one_broken_setting_leaves_the_others():
    settings = settings_from('{"steps": 0, "seed": 3}')
    assert settings["seed"] == 3
    assert settings["steps"] == DEFAULTS["steps"]
