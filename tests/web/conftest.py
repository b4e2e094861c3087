"""Fixtures of the pages' tests: models, and services of them."""

from tests.support.models import *  # noqa: F403 - fixtures
