"""What an English text says by its words. A text in another language is ranked without this package."""

from titans_core.retrieval.english.speakers import named_speakers
from titans_core.retrieval.english.speech import question_share
from titans_core.retrieval.english.times import Period, date_agreement, periods_in, tells_time, wants_time

__all__ = [
    "Period",
    "date_agreement",
    "named_speakers",
    "periods_in",
    "question_share",
    "tells_time",
    "wants_time",
]
