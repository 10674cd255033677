"""What an English text says by its words. A text in another language is ranked without this package."""

from titans_core.retrieval.english.cues import Cue, cues_of
from titans_core.retrieval.english.speakers import named_speakers, speakers_meant
from titans_core.retrieval.english.speech import SPEECH_RULES, SpeechAct, is_small_talk, question_share, speech_act
from titans_core.retrieval.english.subject import (
    asks_for_anything,
    asks_what_was_asked,
    asks_what_was_said,
    subject_of,
)
from titans_core.retrieval.english.tense import Tense, corrects, tells_change, tense_of
from titans_core.retrieval.english.times import (
    Period,
    date_agreement,
    periods_in,
    tells_time,
    wants_time,
    without_times,
)
from titans_core.retrieval.english.values import (
    content_words,
    holds_number,
    introduces,
    names_in,
    wants_name,
    wants_number,
    wants_own_name,
)

__all__ = [
    "SPEECH_RULES",
    "Cue",
    "Period",
    "SpeechAct",
    "Tense",
    "asks_for_anything",
    "asks_what_was_asked",
    "asks_what_was_said",
    "content_words",
    "corrects",
    "cues_of",
    "date_agreement",
    "holds_number",
    "introduces",
    "is_small_talk",
    "named_speakers",
    "names_in",
    "periods_in",
    "question_share",
    "speakers_meant",
    "speech_act",
    "subject_of",
    "tells_change",
    "tells_time",
    "tense_of",
    "wants_name",
    "wants_number",
    "wants_own_name",
    "wants_time",
    "without_times",
]
