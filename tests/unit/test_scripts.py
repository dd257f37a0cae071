"""What a reader of a script takes for the same text, and what for another: for equation 1 and the hashing."""

import numpy as np
import pytest

from hurnet_stream.adapters.embedders import load
from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.reading import readable
from hurnet_stream.core.rule.encoded_words import similarities
from hurnet_stream.core.rule.scn import similarity

SAME = {
    "latin, composed or not": ("café ação", "cafe\u0301 ac\u0327a\u0303o"),
    "latin, two marks in either order": ("ẹ́kọ́ q\u0323\u0307", "e\u0323\u0301ko\u0323\u0301 q\u0307\u0323"),
    "vietnamese": ("Việt Nam", "Vie\u0323\u0302t Nam"),
    "ligature": ("ﬁnal oﬃce", "final office"),
    "full-width latin": ("ＡＢＣ　１２３", "ABC 123"),
    "mathematical letters": ("𝐇𝐞𝐥𝐥𝐨 ℍ", "Hello H"),
    "long s": ("Weiſe", "Weise"),
    "german ss": ("Straße", "Strasse"),
    "german capital ss": ("STRAẞE", "STRASSE"),
    "soft hyphen": ("Donau\u00addampf", "Donaudampf"),
    "zero-width space": ("pass\u200bword", "password"),
    "word joiner and byte order mark": ("\ufeffpass\u2060word", "password"),
    "bidi marks": ("\u202aabc\u202c \u2067x\u2069\u200e", "abc x"),
    "combining grapheme joiner": ("a\u034fb", "ab"),
    "minus sign": ("\u22125 °C", "-5 °C"),
    "greek final sigma": ("ὁδος", "ὁδοσ"),
    "greek composed": ("Ἀθῆναι", "Α\u0313θη\u0342ναι"),
    "greek question mark": ("τι\u037e", "τι;"),
    "cyrillic composed": ("йод ёлка", "и\u0306од е\u0308лка"),
    "hebrew pointed": ("שָׁלוֹם עוֹלָם", "שלום עולם"),
    "hebrew presentation form": ("\ufb2aלום", "שלום"),
    "arabic pointed": ("السَّلَامُ عَلَيْكُمْ", "السلام عليكم"),
    "arabic stretched": ("مرحـــبا", "مرحبا"),
    "arabic presentation forms": ("\ufee3\ufeae\ufea3\ufe92\ufe8e", "مرحبا"),
    "arabic hamza composed": ("أحمد", "ا\u0654حمد"),
    "persian and arabic code points": ("کتاب یک", "كتاب يك"),
    "persian joiner": ("می\u200cخواهم", "میخواهم"),
    "syriac points": ("ܫܠܵܡܵܐ", "ܫܠܡܐ"),
    "arabic digits": ("٣٤ دقيقة", "34 دقيقة"),
    "persian digits": ("۵ بعد", "5 بعد"),
    "devanagari digits": ("३ बजे", "3 बजे"),
    "thai digits": ("๙ โมง", "9 โมง"),
    "devanagari nukta composed": ("क\u093cलम", "\u0958लम"),
    "bengali vowel composed": ("ক\u09cb", "ক\u09c7\u09be"),
    "tamil vowel composed": ("க\u0bca", "க\u0bc6\u0bbe"),
    "indic joiner": ("क्\u200dष", "क्ष"),
    "thai am": ("น\u0e33", "น\u0e4d\u0e32"),
    "kana composed": ("が ぽ", "か\u3099 ほ\u309a"),
    "half-width kana": ("ｶﾞｷﾞ ｱ", "ガギ ア"),
    "hangul letters": ("한국어", "\u1112\u1161\u11ab\u1100\u116e\u11a8\u110b\u1165"),
    "han compatibility": ("\uf900車", "豈車"),
    "han radical": ("⽇本", "日本"),
    "emoji style": ("❤\ufe0f you", "❤ you"),
    "ideographic space": ("天気　予報", "天気 予報"),
}
ALIKE = {
    "case": ("Lights ON", "lights on"),
    "accents": ("résumé", "resume"),
    "turkish capital": ("İstanbul", "istanbul"),
    "turkish dotless": ("ISPARTA ışık", "ısparta IŞIK"),
    "greek capitals": ("ΟΔΟΣ", "οδος"),
    "greek tonos": ("Αθήνα", "Αθηνα"),
    "cyrillic yo": ("ёлка", "елка"),
    "hindi nukta": ("फ़िल्म", "फिल्म"),
    "skin tone": ("👍🏽", "👍"),
}
DIFFERENT = {
    "c++": ("C", "C++"),
    "c#": ("C", "C#"),
    "c++ and c#": ("C++", "C#"),
    "a negative number": ("-5", "5"),
    "currencies": ("€5", "$5"),
    "a tag": ("#7", "7"),
    "comparisons": ("a<b", "a>b"),
    "a power": ("5²", "52"),
    "a fraction": ("3½", "31/2"),
    "spanish year": ("año", "ano"),
    "portuguese grandparents": ("avó", "avô"),
    "german umlaut": ("schön", "schon"),
    "turkish i": ("sınır", "sinir"),
    "cyrillic short i": ("мой", "мои"),
    "cyrillic signs": ("объект", "обект"),
    "cyrillic e": ("эта", "ета"),
    "arabic letters": ("علي", "على"),
    "hebrew letters": ("שלום", "שלם"),
    "hindi vowel signs": ("दिन", "दीन"),
    "hindi vowel sign or none": ("की", "क"),
    "bengali vowel signs": ("কি", "কা"),
    "tamil vowel signs": ("கல்", "கால்"),
    "telugu vowel signs": ("కల", "కాల"),
    "virama": ("कल", "क्ल"),
    "thai tones": ("ใกล้", "ใกล"),
    "thai vowels": ("ดิน", "ดีน"),
    "lao vowels": ("ກິ", "ກີ"),
    "khmer vowels": ("កា", "កិ"),
    "burmese vowels": ("မာ", "မိ"),
    "tibetan vowels": ("བོད", "བད"),
    "thaana vowels": ("ދިވެހި", "ދވހ"),
    "dakuten": ("か", "が"),
    "dakuten in a word": ("かき", "かぎ"),
    "handakuten": ("ばす", "ぱす"),
    "small kana": ("きよう", "きょう"),
    "long vowel": ("ビル", "ビール"),
    "han homophones": ("是", "事"),
    "more han homophones": ("市", "是"),
    "han order": ("日本", "本日"),
    "rare han": ("\U00020bb7野", "吉野"),
    "hangul": ("달", "탈"),
    "hangul final": ("갈", "가"),
    "emoji": ("👍", "👎"),
    "emoji beside words": ("great 👍", "great 👎"),
    "flags": ("🇧🇷", "🇧🇴"),
    "flags of regions": ("🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"),
    "joined emoji": ("👩\u200d👧", "👩👧"),
    "skin tones": ("👍🏽", "👍🏿"),
    "georgian": ("ქართული", "ქართულად"),
    "armenian": ("բարեւ", "բարի"),
    "ethiopic": ("ሰላም", "ሰለም"),
    "cherokee": ("ᎣᏏᏲ", "ᎣᏏᏳ"),
    "only punctuation": ("?", "!"),
    "only marks": ("\u0301", "\u0308"),
}
HASH = load("hash512")


def cosine(a: str, b: str) -> float:
    x, y = HASH.embed([a, b]).astype(np.float64) / SCALE
    return float(x @ y)


def equation_1(a: str, b: str) -> float:
    (fast,) = similarities(a, [b])
    assert fast == pytest.approx(similarity(a, b), abs=1e-13)
    return float(fast)


def test_there_are_pairs_enough() -> None:
    assert len(SAME) + len(ALIKE) + len(DIFFERENT) >= 100


@pytest.mark.parametrize(("a", "b"), SAME.values(), ids=SAME)
def test_what_reads_the_same_is_the_same(a: str, b: str) -> None:
    assert equation_1(a, b) == 1
    assert (HASH.embed([a]) == HASH.embed([b])).all()
    assert HASH.embed([a]).any()


@pytest.mark.parametrize(("a", "b"), ALIKE.values(), ids=ALIKE)
def test_what_readers_often_write_otherwise_is_near(a: str, b: str) -> None:
    assert 0.3 < equation_1(a, b) < 1
    assert cosine(a, b) > 0.6


@pytest.mark.parametrize(("a", "b"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_is_another_text_to_a_reader_is_another(a: str, b: str) -> None:
    assert equation_1(a, b) < 1
    assert cosine(a, b) < 0.99


@pytest.mark.parametrize(
    "text", ["", " \n", "\u200b\u2060", "\ufe0f", "\u064e\u0650", "\u05b8", "\u00ad\u200d"]
)
def test_a_text_in_which_nothing_is_seen_embeds_to_nothing(text: str) -> None:
    assert not HASH.embed([text]).any()
    assert not load("use+hash512").embed([text]).any()


@pytest.mark.parametrize(
    "text", ["?!", "\u0301\u0301", "😀", "🇧🇷🇧🇴", "...", "-", "+", "\U0010ffff", "\ue000", "҈"]
)
def test_a_text_without_letters_embeds_to_something(text: str) -> None:
    assert HASH.embed([text]).any()
    assert equation_1(text, text) == 1


def test_scripts_find_each_other_through_their_alphabets() -> None:
    assert cosine("privet", "привет") > 0.6
    assert cosine("athena", "Αθήνα") > 0.6
    assert cosine("ねこ", "ネコ") > 0.6


@pytest.mark.parametrize(
    "text", ["ﷺ" * 16_384, "½" * 16_384, "ß" * 16_384, "e\u0301" * 8_192, "a" + "\u0301" * 16_383]
)
def test_no_text_grows_by_being_read(text: str) -> None:
    assert len(readable(text)) <= 1.25 * len(text) + 64
    assert equation_1(text, text) == 1
    HASH.embed([text])
