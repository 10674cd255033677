"""Verification: reading a question and a passage together, to say whether the passage answers it.

Late interaction compares token states that were read apart. It finds what is alike, and cannot see whether it answers:
"My dentist moved" is alike to "What is my dentist's name?". A verifier reads both at once.
"""

from titans_core.verification.adapter import ReaderVerifier
from titans_core.verification.pair import Pair
from titans_core.verification.protocol import Verifier
from titans_core.verification.shipped import make_verifier

__all__ = ["Pair", "ReaderVerifier", "Verifier", "make_verifier"]
