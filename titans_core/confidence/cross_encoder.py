"""A strategy that lets a cross-encoder read the best recalls.

It is slower than the rules, because the model reads the query again with every recall. It is not calibrated: it gives
no probability.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from titans_core._utils.locks import Lock
from titans_core.confidence.strategy import Verdict, speaker_and_passage
from titans_core.errors import InvalidQueryError, ModelNotFoundError
from titans_core.types import Confidence

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

    from titans_core.confidence.strategy import Evidence

CROSS_ENCODER = "cross-encoder/ms-marco-MiniLM-L6-v2"
"""The default cross-encoder: small, and trained to find passages that answer questions."""


class CrossEncoderReranker:
    """Orders the best recalls by the scores of a cross-encoder.

    The label is `high` if the best score is at least `min_score`, otherwise `low`; `none` if nothing was found. The
    model reads the speaker's name and the passage of each recall. The score is the sigmoid of the model's one logit,
    in [0, 1], whatever activation the model was saved with: many rerankers are saved without one.

    The reasons are "reranker", the best score, and "margin", its distance to the next score (0 for a single recall).
    Thread-safe: the model is loaded once, at the first recall; forward passes run one after another.

    Example:
        ```python
        memory.recall("Where do I work?", strategy=CrossEncoderReranker("cross-encoder/ms-marco-MiniLM-L6-v2"))
        ```
    """

    def __init__(
        self,
        model: CrossEncoder | str = CROSS_ENCODER,
        *,
        k: int = 10,
        min_score: float = 0.5,
        device: str | None = None,
    ) -> None:
        """Choose a model; it is loaded at the first recall.

        Args:
            model: A loaded cross-encoder with one label, or the path of a folder, or a name on the Hub.
            k: The number of recalls to score, at least 1. The verdict holds no other recalls.
            min_score: The least score of `high`, in [0, 1].
            device: "cpu", "cuda" and so on; None for the best one available. A loaded model stays on its device.

        Raises:
            InvalidQueryError: `k` or `min_score` is out of range.
        """
        if k < 1 or not 0 <= min_score <= 1:
            raise InvalidQueryError(f"Need k of at least 1 and min_score in [0, 1], not k={k}, min_score={min_score}.")
        self._source, self._k, self._min_score, self._device = model, k, min_score, device
        self._model: CrossEncoder | None = None
        self._lock = Lock()

    def judge(self, evidence: Evidence) -> Verdict:
        """See `Strategy.judge`.

        Raises:
            ModelNotFoundError: No path, wheel or Hub has the model, or it has more than one label.
        """
        recalls = evidence.top(self._k)
        if not recalls:
            return Verdict(Confidence.NONE)
        scores = self._scores([(evidence.query, speaker_and_passage(recall)) for recall in recalls])
        # Python's sort is stable, so that recalls with equal scores keep the memory's order.
        order = sorted(range(len(recalls)), key=lambda place: -scores[place])
        best = scores[order[0]]
        return Verdict(
            Confidence.HIGH if best >= self._min_score else Confidence.LOW,
            tuple(recalls[place] for place in order),
            reasons={"reranker": best, "margin": best - scores[order[1]] if len(order) > 1 else 0.0},
        )

    def _scores(self, pairs: list[tuple[str, str]]) -> list[float]:
        import torch

        # Equal texts are scored once: in one batch their scores differ by a rounding, which would order them.
        distinct = list(dict.fromkeys(pairs))
        with self._lock:
            if self._model is None:
                self._model = self._load()
            # By default `predict` applies the activation that the model was saved with, or a sigmoid if it has
            # none. The bare logits are the same kind of number for every model.
            logits = self._model.predict(
                distinct, activation_fn=torch.nn.Identity(), convert_to_tensor=True, show_progress_bar=False
            )
        # In float32 the sigmoid of every logit above 17 is exactly 1, which would lose their order.
        scores = dict(zip(distinct, logits.double().sigmoid().tolist(), strict=True))
        return [scores[pair] for pair in pairs]

    def _load(self) -> CrossEncoder:
        from titans_core.readers.find import load_model
        from titans_core.readers.quantization import import_bitsandbytes

        # sentence-transformers imports peft, and that imports bitsandbytes.
        import_bitsandbytes()
        from sentence_transformers import CrossEncoder

        model = self._source
        if isinstance(model, str):
            model = load_model(model, lambda location: CrossEncoder(location, device=self._device))
        if model.num_labels != 1:
            # The same error as for a folder without a model: in both cases the user must name another model.
            raise ModelNotFoundError(
                f"The cross-encoder has {model.num_labels} labels, so its scores give no order. Use one that was "
                f"trained to rank, with a single label."
            )
        return model
