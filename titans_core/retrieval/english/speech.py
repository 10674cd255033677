"""Speech acts in English: whether a text tells something, or only asks, declines or makes small talk.

What was asked is not what was told: a question that was asked before looks like the best answer to itself.
"""

from __future__ import annotations

import re
from enum import IntEnum

from titans_core.rendering import TAG
from titans_core.retrieval.english.values import content_words

SPEECH_RULES = 1
"""Number of the rules of `speech_act`, `question_share` and `cues_of`. Raise it when they change: then snapshots are
made anew, because the weights hold only what was told."""


class SpeechAct(IntEnum):
    """What a text does. Its numbers are saved in snapshots.

    Attributes:
        TELL: It states something. Everything that is none of the others counts as told.
        ASK: It only asks, with a question mark or without.
        DECLINE: It only says that nothing is known or will be said.
        SMALL_TALK: It only greets, thanks, agrees, …
        BLOCK: It holds a block of recalls that a program wrote.
    """

    TELL = 0
    ASK = 1
    DECLINE = 2
    SMALL_TALK = 3
    BLOCK = 4


ASSISTANTS = frozenset({"assistant", "ai"})
"""Speakers that have nothing of their own to tell: "I don't have your number" is no fact about an assistant."""

_LONGEST = 300
"""Characters of a sentence that may be no statement; a longer one tells something in any case."""

_SMALL_TALK_WORDS = 8
_DECLINING_WORDS = 25
_ASKING_WORDS = 16
_CLAUSE_WORDS = 5

_DETAILED = 8
"""Content words of a question from which on it tells what its asker is about: "How do I keep the retries of the search
field below the API's rate limit?". Of questions to a memory, one in a hundred has as many."""

# A sentence and its end marks. A dot inside a word or after a title ends none. Each character is matched once, also in
# a long sentence.
_SENTENCE = re.compile(
    r"(?:[^.!?。！？؟…\n]|\.(?=[^\s.])|(?<=\bMr)\.|(?<=\bMrs)\.|(?<=\bMs)\.|(?<=\bDr)\.|(?<=\bProf)\.|(?<=\bSt)\.)+"
    r"([.!?。！？؟…]*)"
)
_QUESTION_MARKS = frozenset("?？؟")
_END_MARKS = frozenset(".!…。！")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_BLOCK = re.compile(rf"<{TAG}\b", re.IGNORECASE)
# A clause ends at a comma, a dash or a conjunction.
_CLAUSE_END = re.compile(r"[,;:–—]\s+|\s-\s|\b(?:but|and|so)\b")

_LEAD = (
    r"\W*(?:(?:and|so|but|then|also|ok(?:ay)?|hey|hi|hello|please|sorry|well|oh|hm+|um+|quick question|question|btw"
    r"|by the way|wait|now|test|again|thanks|remember|just)\b[\s,:!\-–—]*)*"
)
_WH = r"(?:what|who|whom|whose|which|where|when|why|how)"
_AUX = r"(?:is|are|was|were|am|do|does|did|has|have|had|can|could|will|would|shall|should|might|may)"  # also inverted
_PRONOUN = r"(?:i|you|he|she|it|we|they|there|my|your|his|her|our|their|this|that|these|those)"

# Sentences that ask without a question mark: "what's my name", "which bus do I take", "tell me the code".
_ASKS = re.compile(
    rf"{_LEAD}(?:{_WH}(?:['’]?(?:s|re)\b|['’](?:d|ll)\b|\s+{_AUX}\b"
    rf"|\s+(?!(?:i|you|he|she|it|we|they|a|an|the|my|your)\b)(?:[\w'’-]+\s+){{1,4}}?{_AUX}\s+(?:{_PRONOUN}|the|a)\b)"
    rf"|{_AUX}\s+(?:i|you|he|she|we|they|there|my|your)\b"
    r"|(?:(?:can|could|would|will) you\s+)?(?:please\s+)?"
    r"(?:(?:just\s+)?(?:tell|give|show|send|get|read|find|ask)\s+(?:me|us)\b"
    r"|remind\s+(?:me|us)\b(?!\s*(?:to|about|that|on|at|in|tomorrow)\b|\s*:)|look up\b"
    r"|list\s+(?:my|all|every|the)\b)"
    r"|(?:the |my )?(?:name|number|code|date|address|time|password|price) (?:of|for)\b"
    r"(?!.*(?:\b(?:is|are|was|went)\b|[:=]))[^.!]*$"
    r"|i\s*(?:['’]d|would)?\s*(?:(?:need|want|like|love)\s*"
    r"(?:to know (?:wh\w+|how|if|the|my|about|your|his|her)|to ask|if you|whether you)"
    r"|(?:was wondering|wonder|am wondering|['’]m wondering)\s*"
    r"(?:if you|whether you|what|when|where|who|which|how))\b)",
    re.IGNORECASE,
)
# Beginnings that ask only if the sentence is short and has no other end mark: "who lives in the loft", "Is Sam there".
_OPENS_QUESTION = re.compile(
    rf"{_LEAD}(?:{_WH}\s+(?!(?:i|you|he|she|it|we|they|a|an|the|my|your|our|his|her|their)\b|(?:is|was|means) why\b)"
    r"|(?:in|on|at|by|until|till|since|from|to|for|with|of) (?:what|which|whom|when|whose)\b"
    r"|does\s+\w)",
    re.IGNORECASE,
)
# "Is Sam there", but not "was sick yesterday" or "Did the laundry today".
_ASKS_ABOUT_NAME = re.compile(
    r"\W*(?:[Ii]s|[Aa]re|[Ww]as|[Ww]ere|[Dd]id|[Hh]as|[Hh]ave|[Cc]an|[Cc]ould|[Ss]hould|[Ww]ill|[Ww]ould)"
    r"\s+[A-Z]\w+\s+\w"
)
# Questions that tell: "Did you know my sister plays the cello?", "Did I tell you that I got the job?".
_TELLS_BY_ASKING = re.compile(
    rf"{_LEAD}(?:did you know\s+(?:that|my|i|we|our)\s|did (?:i|we) (?:already )?(?:tell|mention to) you that\b)",
    re.IGNORECASE,
)
_OWN_STATEMENT = re.compile(rf"{_LEAD}(?:i|we|my|our)\b(?:['’]\w+)?", re.IGNORECASE)
_NO_STATEMENT = frozenset(
    {"forgot", "mean", "wonder", "wondering", "guess", "think", "know", "see", "dear", "god", "want"}
)
_OPENS_STATEMENT = re.compile(
    rf"{_LEAD}(?:(?:i|we|you|he|she|they|it|my|our|his|her|their|the|this|that|there|since|because|as|if|when|after"
    r"|today|yesterday|last|next)\b(?:['’]\w+)?"
    r"|\w+(?:['’]s)?\s+(?:is|was|has|had|will|said|told|wants|got|went|just)\b)",
    re.IGNORECASE,
)

_NOT = (
    r"(?:do not|don['’]t|did not|didn['’]t|cannot|can not|can['’]t|could not|couldn['’]t|have not|haven['’]t|never"
    r"|wasn['’]t|was not|(?:['’]m| am) (?:not|unable to|not able to))"
)
_KNOW = (
    r"(?:know|knew|remember|recall|have|find|see|tell|say|answer|access|sure|told|talked|discussed|mention\w*|help"
    r"|store[d]?|keep|determine|identify|shared?|provided?|certain|aware|locate|confirm|noted?|think you|believe)"
)
# Of an assistant: "I don't have your number", "You haven't told me", "There is nothing about it in my notes".
_ASSISTANT_DECLINES = re.compile(
    rf"\b(?:i|we)\s*(?:still |currently )?{_NOT}\s+(?:\w+\s+){{0,3}}?{_KNOW}\b"
    rf"|\byou\s*(?:{_NOT}|['’]ve not|(?:have|['’]ve) never)\s+(?:\w+\s+){{0,2}}?"
    r"(?:told|tell|mention\w*|said|say|shared?|given?|gave|provided?|let)\b"
    r"|\b(?:i|we) (?:only know|would need|['’]d need|need) (?:what|more|to know|some)"
    r"|\b(?:i|we)(?:['’]ve| have) (?:no|nothing)\b|\bthere(?:['’]s| is| are) (?:nothing|no)\b"
    r"|\b(?:has|have)(?:n['’]t| not) (?:come up|been)\b"
    r"|\b(?:is|are)(?:n['’]t| not) (?:in|part|something|available|stored|recorded|mentioned|provided)\b"
    r"|\bdo(?:es)?(?:n['’]t| not) (?:say|mention|contain|include)\b|\bas an ai\b"
    r"|^\W*(?:sorry,?\s*)?(?:no|nothing)\s+(?:relevant|record|information|mention|note|details?|on that|stored)\b",
    re.IGNORECASE,
)
# Of anybody, and only as a whole sentence: "No idea, sorry." But "I don't know how to swim" tells something.
_DECLINES = re.compile(
    r"\W*(?:(?:sorry|hm+|well|honestly|oh|good question|unfortunately|i['’]m afraid|no|nope)\b[\s,.!\-–—]*)*"
    r"(?:i (?:really |honestly |still |just )*(?:don['’]t|do not) know|(?:i['’]ve |i have )?(?:no|not a) (?:idea|clue)"
    r"|i haven['’]t a clue|(?:(?:i['’]m|i am) )?not sure|i (?:honestly )?(?:can['’]t|cannot|don['’]t) "
    r"(?:remember|recall|say|tell)|i forg[oe]t|i['’]ve forgotten|dunno|idk|beats me|who knows|couldn['’]t (?:say|tell)"
    r"|(?:i['’]d|i would) rather not (?:say|talk about it)|no comment|pass|i don['’]t want to talk about it"
    r"|let me get back to you|ask me (?:later|another time))"
    r"(?:[\s,]+(?:that|this|it|one|you|about|on|sorry|tbh|though|yet|either|anymore|at all|i['’]m afraid))*\W*",
    re.IGNORECASE,
)
_APOLOGIZES = re.compile(
    r"\W*(?:i['’]m (?:so |very |really )?(?:sorry|afraid)|(?:my )?apologies|unfortunately|good question|hm+)\W*"
    r"(?:about that|but)?\W*",
    re.IGNORECASE,
)
_SMALL_TALK = frozenset(
    word
    for line in (
        "thanks thank you thx ty ta cheers ok okay k great cool perfect awesome nice lovely lol haha hahaha",
        "ha hehe yes yep yeah yup no nope sure right it i see good fine hi hello hey there morning evening",
        "night afternoon goodnight bye goodbye later tomorrow talk to soon a day care welcome problem worries",
        "np sorry oops my bad wow oh hm hmm mhm ah aha alright exactly true indeed of course absolutely",
        "agreed agree deal noted done saved understood stored sounds makes sense all well very much so lots",
        "lot appreciated appreciate how are doing today going up what's it's that's you're i'm back continue",
        "go on ahead one sec moment wait never mind nevermind luck really amazing brilliant fantastic",
        "wonderful excellent super congrats phew finally congratulations happy too the best funny anytime",
        "pleasure then again alone guys everyone everybody mate dear buddy ciao ttyl enjoy fun",
    )
    for word in line.split()
)
# Phrases of small talk with words that elsewhere tell something: "got it", but "I got the job".
_SMALL_TALK_PHRASES = re.compile(
    r"\bgot it\b|\bhave (?:a )?(?:fun|(?:nice|good|great|lovely) (?:day|evening|night|weekend|time|one))\b"
    r"|\b(?:just )?let me know(?: if (?:you need |there['’]s )?anything(?: else)?| if you need (?:more )?help)?\b"
    r"|\btake care\b|\banything else\b|\b(?:happy|glad) to help\b|\bno need\b|\bwill do\b|\bgood job\b"
    r"|\bforget it\b|\bdon['’]t mention it\b|\b(?:i )?(?:love|like) (?:it|that|you)\b|\bmy friend\b"
    r"|\bthanks for (?:your |the )?help\b|\byou['’]re (?:the best|welcome)\b|\bplease (?:continue|go on)\b"
    r"|^\W*(?:test|testing|please)\W*$",
    re.IGNORECASE,
)
# "How are you?" in its forms.
_INQUIRES = re.compile(
    r"\W*(?:\w+,?\s+)?(?:how(?:['’]?s| is| are) (?:it|everybody|everyone|you|things|life|we)\b"
    r"|(?:all|everything) (?:good|ok|well)\b"
    r"|(?:are )?(?:you|u) (?:still )?(?:there|awake|up|ok)\b|what['’]s up\b|miss me\b|(?:did you )?sleep well\b)"
    r"(?:\s+(?:going|doing|today|tonight|this|morning|evening|again|with|you|there))*\W*",
    re.IGNORECASE,
)
_OPENS_SMALL_TALK = re.compile(
    r"\W*(?:thanks|thank you|thx|ta|cheers|hi|hello|hey|(?:good ?)?(?:morning|night|evening)|ha(?:ha)+|lol|ok(?:ay)?"
    r"|great|good|phew|lovely|back|bye|well|right|see you)\b",
    re.IGNORECASE,
)
_SPECIFIC = re.compile(r"\d|(?<=[a-z,] )[A-Z]\w")  # a number, or a name inside a sentence


def question_share(text: str) -> float:
    """The share of a text's characters that is in questions, in [0, 1]. A turn that only asks answers nothing."""
    asked = (len(found[0]) for found in _SENTENCE.finditer(text) if _QUESTION_MARKS & set(found[1]))
    return sum(asked) / max(len(text), 1)


def speech_act(text: str, speaker: str | None = None, *, details: bool = True) -> SpeechAct:
    """What a text does. One sentence that tells something makes the whole text tell something.

    Args:
        text: What was said.
        speaker: Who said it; an assistant declines in more ways than others do.
        details: Whether a detailed question tells something.
    """
    if _BLOCK.search(text):
        return SpeechAct.BLOCK
    assistant = (speaker or "").lower() in ASSISTANTS
    found: set[SpeechAct] = set()
    for sentence in _SENTENCE.finditer(text):
        if _WORD.search(sentence[0]):
            act = _sentence_act(sentence[0].strip(), sentence[1], assistant=assistant, details=details)
            if act is SpeechAct.TELL:
                return act
            found.add(act)
    for act in (SpeechAct.DECLINE, SpeechAct.ASK, SpeechAct.SMALL_TALK):
        if act in found:
            return act
    # Without a word: an emoji says little, but other marks and scripts may say anything.
    return SpeechAct.TELL


def is_small_talk(text: str) -> bool:
    """Whether a message only greets, thanks, agrees, … A memory has nothing to answer to it."""
    sentences = [sentence for sentence in _SENTENCE.finditer(text) if _WORD.search(sentence[0])]
    if not sentences:  # an emoji may be what is looked for
        return False
    if all(_chats(sentence[0]) or _INQUIRES.fullmatch(sentence[0]) for sentence in sentences):
        return True
    # "Morning! Coffee first." opens like small talk, is short, asks nothing, and names nobody and nothing.
    return bool(
        len(text) <= _LONGEST
        and _OPENS_SMALL_TALK.match(text)
        and len(_WORD.findall(text)) <= _SMALL_TALK_WORDS
        and not _SPECIFIC.search(text)
        and not any(_asks(sentence[0].strip(), sentence[1]) for sentence in sentences)
    )


def _sentence_act(sentence: str, end: str, *, assistant: bool, details: bool) -> SpeechAct:
    if len(sentence) > _LONGEST:
        return SpeechAct.TELL
    if _chats(sentence):
        return SpeechAct.SMALL_TALK
    if _QUESTION_MARKS & set(end):
        tells = _tells_first(sentence) or (details and len(content_words(sentence)) >= _DETAILED)
        return SpeechAct.TELL if tells else SpeechAct.ASK
    if _APOLOGIZES.fullmatch(sentence):
        return SpeechAct.SMALL_TALK
    if _DECLINES.fullmatch(sentence):
        return SpeechAct.DECLINE
    if assistant and len(_WORD.findall(sentence)) <= _DECLINING_WORDS and _ASSISTANT_DECLINES.search(sentence):
        return SpeechAct.DECLINE
    return SpeechAct.ASK if _asks(sentence, end) else SpeechAct.TELL


def _asks(sentence: str, end: str) -> bool:
    """Whether a sentence asks, by its mark or by its form."""
    if _QUESTION_MARKS & set(end):
        return not _INQUIRES.fullmatch(sentence)
    short = not _END_MARKS & set(end) and len(_WORD.findall(sentence)) <= _ASKING_WORDS
    opens = _OPENS_QUESTION.match(sentence) or _ASKS_ABOUT_NAME.match(sentence)
    return bool(_ASKS.match(sentence) or (short and opens))


def _chats(sentence: str) -> bool:
    rest = _SMALL_TALK_PHRASES.sub(" ", sentence[:_LONGEST])
    words = [word.lower().replace("’", "'") for word in _WORD.findall(rest)]
    return len(words) <= _SMALL_TALK_WORDS and _SMALL_TALK.issuperset(words)


def _tells_of_self(clause: str) -> bool:
    """Whether a clause states something of its speaker, however short: "I'm vegan, what can I cook?"."""
    return bool(_OWN_STATEMENT.match(clause) and not _ASKS.match(clause) and content_words(clause) - _NO_STATEMENT)


def _tells_first(sentence: str) -> bool:
    """Whether a sentence that asks states something before: "I'm in Rome with Ana, what should we see?"."""
    return bool(_TELLS_BY_ASKING.match(sentence)) or any(
        _tells_of_self(clause)
        or (
            len(_WORD.findall(clause)) >= _CLAUSE_WORDS
            and _OPENS_STATEMENT.match(clause)
            and not _ASKS.match(clause)
            and not _OPENS_QUESTION.match(clause)
        )
        for clause in _CLAUSE_END.split(sentence)[:-1]
    )
