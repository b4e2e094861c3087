"""Settings: a broken one is remarked on, and its default used."""

import json
import os

from ugpt import app

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
    ):
        assert settings_from(text) == DEFAULTS, text


def test_a_temperature_is_0_to_100():
    for temperature in (0, 0.0, 1e-30, 100):
        assert settings_from('{"temperature": %s}' % temperature)["temperature"] == temperature
    for temperature in ("-0.1", "100.1", "1e400", "NaN"):
        assert settings_from('{"temperature": %s}' % temperature) == DEFAULTS, temperature


def test_one_broken_setting_leaves_the_others():
    settings = settings_from('{"steps": 0, "seed": 3}')
    assert settings["seed"] == 3
    assert settings["steps"] == DEFAULTS["steps"]
