"""Other memories for a frozen language model, as baselines for the recitation."""

from titans_core.recitation.baselines.next_state import NextStateMemory
from titans_core.recitation.baselines.soft_prompt import SoftPromptMemory, Training

__all__ = ["NextStateMemory", "SoftPromptMemory", "Training"]
