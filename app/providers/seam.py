"""Where an answer goes on that a model was asked in words to continue: its first word comes without the space before it.

Where a server continues the text itself it knows what comes next, and nothing is added.
"""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

from app.parts import ReasoningDelta, TextDelta, TextPart, ToolCallDelta, text_of
from app.providers.base import ChatRequest, Event
from app.providers.code_spans import CodeSpans
from app.providers.errors import ProviderError

_MOST_HELD_CHARS = 40
_MOST_KNOWN_CHARS = 50_000

#: Chinese, Japanese, Thai, Lao, Burmese and Khmer have no spaces; Korean has them, but not between a word and its particles.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    r"\uff00-\uffef\U00020000-\U0003ffff]"
)
_OPENERS = "(“„«‘¿¡"
_CLOSERS = ".,;:!?…)]”»%"
_OPERATORS = "—–=+&"  # with a space before them, one follows
#: Emphasis, code, a quotation, a formula or a link begins, unless the mark ends what was open.
_OPENING_MARK = re.compile(r"(\*{1,3}|`|\"|\$|\[)(?=[^\W_])")
_MARKS = re.compile(r"[*`\"$\[]{1,3}")
_ADDRESS = re.compile(r"/|www\.|[\w.]@")

#: English word endings that are not words by themselves.
_ENDINGS = frozenset(
    "s es ed er ers est ing ings ly ally ily ment ments tion tions sion ation ations ization isation izing ising ized ised"
    " ness nesses ity ities ive ives ous ful less ism ist ists ical ic ics al als able ible ably ibly ance ances ence ences"
    " ant ent ents ship ships hood wise ward wards th st nd rd ll ve re ght ough".split()
)
#: Words of up to four letters that are common, and some longer ones: a shorter one that is none of them is a piece of a word.
_WORDS = frozenset(
    "a able ago aid aim air all also am an and any arm art as ask at away baby back bad bag ball bank base be bed been best"
    " big bit blue boat body book born both box boy bus but buy by call calm came can car card care case cat city cold come"
    " cook cool copy cost cup cut dark data date day days dead deal deep did die dish do does dog done door down draw dry due"
    " each east easy eat edge else end even ever eye face fact fair fall far farm fast feel feet few file find fine fire fish"
    " five flow food foot for form four free from full fun game gas gave get gift girl give go goal goes gold gone good grew"
    " grow had hair half hand hard has hat have he head hear heat held help her here high hill him his hit hold home hope hot"
    " hour how huge i idea if in into is it item its job join jump just keep kept key kid kind king knew know lake land last"
    " late law lay lead led left leg less let life like line list live long look lose lost lot love low made main make man"
    " many map mark may me mean meet men mind miss moon more most move much must my name near need new next nice no none nor"
    " not note now of off oil old on once one only open or our out over own page paid part past path pay per plan play plus"
    " poor pull push put quick rain ran rate read real red rest rich ride rise road rock role room rule run safe said sail"
    " sale salt same sand save saw say sea seat see seen self sell send sent set she ship show side sign sing sit six size"
    " skin sky slow snow so soft soil some song soon sort star stay step stop such sun sure take talk tall team tell ten term"
    " test text than that the them then they thin this thus till time tiny to told too took top tour town tree trip true try"
    " turn two type unit up upon us use used vary vast very view walk wall want war warm was wash wave way we week well went"
    " were west what when who why wide wife wild will win wind wish with wood word work year yes yet you your zero"
    " these those which where would"
    " der die das und oder ist ein eine zu von mit auf für le la les et un une de des du est el los y en que il e di".split()
)
_SHORT_CHARS = 4


async def joined(events: AsyncGenerator[Event, None], request: ChatRequest) -> AsyncGenerator[Event, None]:
    """The same events; the first text begins with a space where one is due after the answer so far."""
    written = _written(request)
    held: str | None = ""  # the first word as far as it came; None once it was told
    async with aclosing(events):
        try:
            async for event in events:
                if held is None or not isinstance(event, TextDelta | ReasoningDelta | ToolCallDelta):
                    yield event
                elif not isinstance(event, TextDelta):  # a part of its own follows
                    if held:
                        yield TextDelta(_spaced(held, request))
                    held = None
                    yield event
                else:
                    held += event.text
                    if event.signature or not _is_undecided(written, held):
                        yield TextDelta(_spaced(held, request), event.signature)
                        held = None
        except ProviderError:
            if held:
                yield TextDelta(_spaced(held, request))
            raise
        if held:
            yield TextDelta(_spaced(held, request))


def space_between(written: str, begun: str, known: frozenset[str] = frozenset()) -> str:
    """What belongs between a text and what goes on with it: a space or nothing. `known`: words that stand elsewhere."""
    before, after = written[-1:], begun[:1]
    if not before or not after or _UNSPACED.match(before) or _UNSPACED.match(after) or CodeSpans(written).is_open():
        return ""
    opens = after in _OPENERS or _opens(written, begun)
    if not (after.isalnum() or opens):
        return ""
    if before.isalnum():
        return " " if opens or _begins_word(written, begun, known) else ""
    if before.isspace() or _ends_in_address(written):
        return ""
    if before in ".,:" and after.isdigit() and written[-2:-1].isdigit():
        return ""
    if before in _OPERATORS:
        return " " if written[-2:-1] == " " else ""
    return " " if before in _CLOSERS or _closes(written, before) else ""


def _written(request: ChatRequest) -> str:
    """The text that the continuation is joined to; none if the answer ends in something else."""
    last = request.messages[-1].parts[-1:]
    return last[0].text if last and isinstance(last[0], TextPart) else ""


def _is_undecided(written: str, begun: str) -> bool:
    """Whether the first word, which may not be whole yet, decides what belongs before it."""
    if not begun or (_MARKS.fullmatch(begun) and not written[-1:].isspace()):
        return True
    is_within_words = written[-1:].isalnum() and begun.isalnum() and not _UNSPACED.match(begun)
    return is_within_words and len(begun) <= _MOST_HELD_CHARS


def _spaced(begun: str, request: ChatRequest) -> str:
    """The first words of a continuation with the space that belongs before them."""
    written = _written(request)
    before = "\n".join(text_of(message.parts) for message in request.messages[:-1])[-_MOST_KNOWN_CHARS:]
    texts = (before, re.sub(r"(?<!\w)\w+$", "", written[-_MOST_KNOWN_CHARS:]), re.sub(r"^\w+", "", begun))
    known = frozenset(word.casefold() for text in texts for word in re.findall(r"\w+", text))
    return space_between(written, begun, known) + begun


def _begins_word(written: str, begun: str, known: frozenset[str]) -> bool:
    """Whether a text that broke off behind a letter or digit goes on with another word, and not within that one.

    An answer mostly breaks off between words, as tokens do, so that is what holds where nothing speaks against it.
    """
    last, first = re.findall(r"\w+", written[-100:])[-1], re.findall(r"\w+", begun[:100])[0]
    if (last[-1].isdigit() and first[0].isdigit()) or _ends_in_address(written):
        return False
    last_word, first_word = last.casefold(), first.casefold()
    if last_word + first_word in known or (first_word in _ENDINGS - _WORDS and not {first_word, last_word} & known):
        return False
    if last_word in known | _WORDS or first_word in known | _WORDS or (first[0].isupper() and not last.isupper()):
        return True
    is_piece = last.isascii() and last.islower() and not re.search(r"[aeiouy]", last)
    are_pieces = max(len(last), len(first)) <= _SHORT_CHARS and (last + first).isascii()
    return first_word not in _ENDINGS and not is_piece and not are_pieces


def _ends_in_address(written: str) -> bool:
    last_word = written[-200:].rsplit(maxsplit=1)[-1:]
    return bool(last_word) and _ADDRESS.search(last_word[0]) is not None


def _opens(written: str, begun: str) -> bool:
    mark = _OPENING_MARK.match(begun)
    if not mark or (mark[1] == "$" and re.search(r"\b[A-Z]{1,3}\Z", written)):  # US$5
        return False
    return mark[1] == "[" or written.rsplit("\n\n", 1)[-1].count(mark[1]) % 2 == 0


def _closes(written: str, mark: str) -> bool:
    """Whether a text ends with emphasis, code or a quotation that it opened before."""
    paragraph = written.rsplit("\n\n", 1)[-1]
    within = paragraph.rstrip(mark)
    is_pair = paragraph[len(within) :] in within and paragraph.count(mark) % 2 == 0
    return mark in '*`"' and is_pair and not within[-1:].isspace()
