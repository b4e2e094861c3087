"""Fixtures of the host's tests: models that several need, and services of them."""

from tests.support.models import *  # noqa: F403 - fixtures
