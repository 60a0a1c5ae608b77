"""What a model said when it was asked for a title: one short line of plain words, or it is not believed. Pure."""

import re

MOST_WORDS = 8
MOST_CHARS = 60

_QUOTES = " \t\"'“”„‚‘’«»‹›「」『』《》"
#: Tags, template tokens, JSON, code, emphasis, links, headings, lists.
_MARKUP = re.compile(
    r"</?[A-Za-z!|｜][^>]*>?|[{}`]|\*\*|__|\*\S|\]\(|\[/?[A-Z]+\]|^\s*(?:\[|#|>|[-*+]\s)|~~~|\$\$"
    r"|^\s*([_~$]).*\1\s*$|\|\s*$"
)
#: What is called nothing, or what every thread could be called.
_NO_NAME = re.compile(
    r"(?:none|null|n/a|nil|undefined|untitled|no (?:title|topic|name)|(?:the |a )?(?:title|titel|titre|chat|conversation)"
    r"|(?:new|untitled) (?:chat|thread|conversation|title)|analysis|final|thought|assistant|user)",
    re.IGNORECASE,
)

#: How a sentence to the person begins, where a title was wanted. Words that a title may begin with, too, need punctuation.
_ANNOUNCEMENTS = (
    r"here(?:['’]s|\s+is|\s+are|\s+you)\b",
    r"(?:sure|certainly|absolutely|of course|okay|ok|yes|no problem|great|alright|thank(?:s| you)|hmm+|well|understood|got it"
    r"|hello(?!,? world)|hi|hi there|hey|happy to help|glad to help)\s*(?:[,.!:;–—]|$|thing\b)",
    r"(?:as an?|i['’]?m an?|i am an?)\s+(?:ai|artificial|large language|language model|assistant)\b",
    r"(?:i['’]?m|i am|we['’]?re|we are)\s+(?:sorry|afraid|unable|not able|here|happy|glad|just|only)\b",
    r"i\s+(?:apologi[sz]e|cannot|can['’]?t|can not|could not|couldn['’]?t|will not|won['’]?t|do not|don['’]?t)\b",
    r"(?:sorry|apologies|unfortunately|regrettably)\b",
    r"i(?:['’]d|['’]ll| would| will)? (?:suggest|propose|recommend|call it|go with|name it|think (?:the|this|it))\b",
    r"it (?:seems|looks|appears) (?:like|that|you|as)\b",
    r"(?:you (?:asked|want|wanted) (?:about|me|to|for)|in this (?:conversation|chat))\b",
    r"(?:an?|one|the) (?:\w+ )?(?:title|name|topic)(?: for (?:this|the|our) (?:conversation|chat))?"
    r" (?:would|could|might|can|is|may)\b",
    r"(?:can|could|would|do) you\b.*(?:clarify|share|provide|tell|help|like me|want me|more)\b|what would you like\b",
    r".*\b(?:this|the|our|your) (?:conversation|chat|thread) a title\b",
    r".*\btitle for (?:this|the|our|your) (?:conversation|chat|thread)\b",
    r"(?:let me (?:know|help|think|see|give)|how about|based on (?:the|this|our|your)|please (?:provide|note|give))\b",
    r"(?:we need to (?:give|create|produce|answer|respond|write|generate)|(?:the )?user (?:is|asks?|asked|wants?|wanted))\b",
    r"(?:the|this|my|a|your)\s+(?:conversation|chat|thread|title|user)\s+(?:is|was|could|might|can|for|should|would"
    r"|discusse[sd]|covers?|explores?|asks?|asked|seems|appears|about)\b",
    r"(?:(?:my|the|your|final|possible|short|a) )?(?:answer|response|reply|suggestion|output|result|assistant|topic|subject)"
    r"\s*[:：]",
    r"the (?:topic|subject) is\b",
    r"\(?(?:\w+\s+){0,2}(?:title|titel|titre|título|titolo|тема|название|标题|標題|题目|タイトル|題名|제목|عنوان|शीर्षक)"
    r"(?:\s*[:：]|\s+[–—-]\s)",
    # German, French, Spanish, Portuguese, Italian
    r"(?:hier (?:ist|sind)|als (?:ki|sprachmodell)|es tut mir|tut mir|entschuldig\w*|leider|ich (?:kann|bin|habe))\b",
    r"(?:gerne?|natürlich|klar|selbstverständlich|voici|bien sûr|claro|por supuesto|certo|ecco)\s*(?:[,.!:;–—]|$)",
    r"(?:voici|je suis (?:désolé|une)|je ne (?:peux|suis)|désolé|en tant qu['’])",
    r"(?:aquí (?:tienes|está|hay)|lo siento|no puedo|como (?:una? )?(?:ia|modelo)\b)",
    r"(?:aqui está|desculpe|sinto muito|mi dispiace|non posso)",
    # Russian, Korean
    r"(?:к сожалению|извините|простите|вот название|я не могу|(?:конечно|хорошо)\s*[,.!:])",
    r"(?:죄송|물론|알겠습니다|미안)",
    # Chinese and Japanese
    r"(?:以下是|好的|当然|當然|抱歉|对不起|對不起|很抱歉|作为(?:一个)?(?:AI|人工智能)|我无法|我不能)",
    r"(?:申し訳|もちろん|はい、|すみません|以下は|私は(?:AI|人工知能))",
)
_ANNOUNCEMENT = re.compile("|".join(_ANNOUNCEMENTS), re.IGNORECASE)

#: Words that two sentences share by chance.
_COMMON = frozenset(
    "a about an and are as at be by can do does for from give have how i in is it me my of on or our please so tell that the"
    " this to us was we what when where which who why will with would write you your".split()
)


def believed_title(said: str, question: str = "", *, must_share_a_word: bool = False) -> str:
    """The title that a model gave; empty if what it said is none. Its quotes and final stop are dropped.

    `must_share_a_word`: with the question, as small models speak of something else.
    """
    lines = [line for line in said.splitlines() if line.strip()]
    if len(lines) != 1 or _MARKUP.search(lines[0]):
        return ""
    title = "".join(char for char in lines[0] if char.isprintable()).strip(_QUOTES)
    if title.endswith((":", "：")) or _ANNOUNCEMENT.match(title):
        return ""
    title = title.rstrip(".。").strip(_QUOTES)
    is_short = len(title) <= MOST_CHARS and len(title.split()) <= MOST_WORDS
    if not is_short or not any(char.isalnum() for char in title) or _NO_NAME.fullmatch(title):
        return ""
    return title if not must_share_a_word or _words(title) & _words(question) else ""


def _words(text: str) -> set[str]:
    """Words that say something. Of scripts without spaces, every pair of letters."""
    words = set(re.findall(r"\w+", text.casefold())) - _COMMON
    wide = re.findall(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]+", text)
    return words | {run[at : at + 2] for run in wide for at in range(len(run) - 1)}
