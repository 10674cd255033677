"""Strategies of tests."""

from titans_core import Confidence
from titans_core.confidence import Verdict


class NeverSure:
    """A strategy that labels everything `none`."""

    def judge(self, evidence):
        return Verdict(Confidence.NONE, probability=0.1)
