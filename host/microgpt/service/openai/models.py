"""The models of a service by their names, and what identifies an answer's model and engine."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from typing_extensions import TypedDict

from microgpt.engines.base import Model
from microgpt.service.problems import Refusal


class ModelObject(TypedDict):
    """A model in a list of models; `created` is when the service began, in seconds since 1970."""

    id: str
    object: str
    created: int
    owned_by: str


class ModelList(TypedDict):
    """The models of the service; the first is the default."""

    object: str
    data: list[ModelObject]


@dataclass(frozen=True)
class Served:
    """A model under its name; `fingerprint` is of its weights, their dtype and the engine."""

    name: str
    model: Model
    fingerprint: str


class Models:
    """The models of a service; a request names one, or gets the first."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._created = int(time.time())
        self._served = {
            name: Served(name, model, _fingerprint(model)) for name, model in models.items()
        }

    def find(self, name: str | None) -> Served:
        """Return a model; raise Refusal, which names those that are here."""
        if name is None:
            return next(iter(self._served.values()))
        if name not in self._served:
            known = ", ".join(self._served)
            raise Refusal(f"no model {name!r} here: {known}", "model", "model_not_found", 404)
        return self._served[name]

    def describe(self, served: Served) -> ModelObject:
        """Return what clients are told of a model."""
        return {
            "id": served.name,
            "object": "model",
            "created": self._created,
            "owned_by": "microgpt",
        }

    def list(self) -> ModelList:
        """Return the list of all models."""
        return {"object": "list", "data": [self.describe(one) for one in self._served.values()]}


def _fingerprint(model: Model) -> str:
    digest = hashlib.sha256(f"{model.engine} {model.dtype} {model.config}".encode())
    for name, matrix in model.weights.items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(matrix).tobytes())
    return f"fp_{digest.hexdigest()[:12]}"
