"""What tells of a person in a text, replaced by what it was: e-mail addresses, numbers of phones, cards and
accounts, IP addresses.

    Write to ann@example.org, or call 030 1234567    ->    Write to <MAIL>, or call <PHONE>
    DE89 3704 0044 0532 0130 00 is my account        ->    <IBAN> is my account
    order 4111-2222, on 01.02.2026                   ->    as it is

Rules find what has a form: by patterns, and by the checks that such numbers carry (Luhn, mod 97, the length
in a country). No name and no address of a street is found. The same text always becomes the same, on every
machine and in every version: a store remembers the rules with their number, `VERSION`, and rules with another
result need another number.

A text never becomes longer, so it stays within all limits. It is gone over until nothing changes, so
what was redacted once stays as it is. Each pattern looks at a bounded number of characters from each place at
which it may begin, so the time grows with the length of the text alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from itertools import pairwise
from typing import Final

VERSION: Final = 1
"""Of the rules. It is part of what a store remembers."""
PASSES_MOST: Final = 8
"""How often a text is gone over at most. Nearly all need one time, and another if something was found."""

MAIL, IP, IBAN, CARD, PHONE = "<MAIL>", "<IP>", "<IBAN>", "<CARD>", "<PHONE>"
"""Each is no longer than the shortest of what it stands for. No pattern has < or > in it."""

Redact = Callable[[str], str]

_HINT: Final = re.compile(r"[0-9@]|::")
"""A text without any of these has nothing to be found."""

_MAIL_RUN: Final = re.compile(r"[\w.%+'@-]++")
_MAIL: Final = re.compile(
    r"[\w.%+'-]@(?:[\w-]{1,63}+\.){1,8}(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,63})", re.IGNORECASE
)
_MAIL_ENDS: Final = ".%+'-"

_IP_RUN: Final = re.compile(r"[\w.:]++")
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_IPV4: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_IPV6_SHORTEST: Final = 7
_IPV6_LONGEST: Final = 45
_DIGIT: Final = re.compile("[0-9]")

_IBAN_START: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}")
_IBAN_LENGTHS: Final = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FO FI GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC",
        32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_IBAN_SEPARATORS: Final = " \u00a0-"

_CARD_GROUPS: Final = re.compile(r"(?<!\w)[0-9]{4,19}(?!\w)")
_CARD_SHAPES: Final = {
    **{digits: ((digits,),) for digits in range(14, 20)},
    4: ((4, 4, 4, 4), (4, 4, 4, 4, 3), (4, 6, 5), (4, 6, 4)),
}
"""How many digits the groups have that a card's number is written in, by those of the first group.
Thirteen digits are the number of a product: cards with so few are no longer made."""
_CARD_ISSUERS: Final = re.compile(r"4|5[0-8]|2[2-7]|3[04-9]|6")
_CARD_SEPARATORS: Final = (" ", "-", "\u00a0")

_GAP: Final = r"[ ./()\u00a0-]{0,3}"
_ALONE: Final = r"(?<![\w+.,:/-])"
_AREA: Final = r"(?:\((?=[0-9]{2,6}\)))?"
_SAID: Final = (
    r"(?<!\w)(?:t[eé]l[eé]?|fax|(?:tele)?phone|mobile?|handy|cell|gsm|whatsapp|m[oó]vil|celular)"
    r"(?:efon[eo]?|éfono|efonnummer)?(?: (?:no|number|nr))?[ .:#=]{0,3}"
)
_PHONES: Final = re.compile(
    rf"(?P<said>{_SAID}){_AREA}[0-9](?:{_GAP}[0-9]){{6,14}}(?!\w)"
    rf"|\+[1-9](?:{_GAP}[0-9]){{6,14}}(?!\w)"  # between countries
    rf"|{_ALONE}00[1-9](?:{_GAP}[0-9]){{8,13}}(?!\w)"
    rf"|{_ALONE}{_AREA}0[1-9](?:{_GAP}[0-9]){{7,10}}(?!\w)"  # within most countries
    rf"|{_ALONE}(?:1[ .-])?(?:\([2-9][0-9]{{2}}\) ?|[2-9][0-9]{{2}}[ .-])"  # in North America
    r"[2-9][0-9]{2}[ .-][0-9]{4}(?!\w)",
    re.IGNORECASE,
)
_DATE: Final = re.compile(r"\(?[0-9]{1,2}([./ -])[0-9]{1,2}\1(?:19|20)[0-9]{2}(?![0-9])")


def rules(kinds: Collection[str]) -> str:
    """What a store remembers of these kinds, in any order; "" if nothing is redacted.

    >>> rules(["phone", "email"])
    '1:email,phone'
    """
    return f"{VERSION}:{','.join(sorted(set(kinds)))}" if kinds else ""


@lru_cache(64)
def redacting(chosen: str) -> Redact:
    """What redacts a text by `rules`. Raises ValueError for rules that this program does not know."""
    version, _, named = chosen.partition(":")
    kinds = named.split(",") if chosen else []
    if chosen and (version != str(VERSION) or not set(kinds) <= set(KINDS)):
        raise ValueError(f"texts are redacted by the rules {chosen!r}, which this program does not know")
    steps = [step for kind, step in KINDS.items() if kind in kinds]

    def redact(text: str) -> str:
        for _ in range(PASSES_MOST if steps and _HINT.search(text) else 0):
            before = text
            for step in steps:
                text = step(text)
            if text == before:
                break
        return text

    return redact


def _mails(text: str) -> str:
    return _MAIL_RUN.sub(_mail_run, text) if "@" in text else text


def _mail_run(found: re.Match[str]) -> str:
    run = found[0]
    if "@" not in run or not _MAIL.search(run):
        return run
    return MAIL + run[len(run.rstrip(_MAIL_ENDS)) :]


def _ips(text: str) -> str:
    return _IP_RUN.sub(_ip_run, text)


def _ip_run(found: re.Match[str]) -> str:
    run = found[0]
    whole = run.rstrip(".")
    inner = whole.strip(":")
    if _is_ipv6(whole):
        return run.replace(whole, IP, 1)
    if any(map(_IPV4.fullmatch, inner.split(":"))) or _is_ipv6(inner):
        return run.replace(inner, IP, 1)  # a port goes with its address
    return run


def _is_ipv6(run: str) -> bool:
    if run.count(":") < 2 or not _IPV6_SHORTEST <= len(run) <= _IPV6_LONGEST or not _DIGIT.search(run):
        return False  # a::b and dead::beef are names in a program, ::1 is nobody's
    try:
        return bool(IPv6Address(run))
    except AddressValueError:
        return False


def _ibans(text: str) -> str:
    return _replaced(text, IBAN, _iban_places(text))


def _iban_places(text: str) -> Iterator[tuple[int, int]]:
    for start in _IBAN_START.finditer(text):
        length = _IBAN_LENGTHS.get(start[0][:2].upper())
        if length and (end := _iban_end(text, start.start(), length)):
            yield start.start(), end


def _iban_end(text: str, start: int, length: int) -> int:
    """Where the account number of this length ends that begins at `start`; 0 if there is none."""
    found = _iban_of(length).match(text, start)
    if not found:
        return 0
    letters = re.sub(f"[{_IBAN_SEPARATORS}]", "", found[0])
    number = int("".join(str(int(letter, 36)) for letter in letters[4:] + letters[:4]))
    return found.end() if number % 97 == 1 else 0


@lru_cache(64)
def _iban_of(length: int) -> re.Pattern[str]:
    alphabet = "A-Za-z0-9"
    return re.compile(f"[{alphabet}](?:[{_IBAN_SEPARATORS}]?[{alphabet}]){{{length - 1}}}(?![{alphabet}])")


def _cards(text: str) -> str:
    return _replaced(text, CARD, _card_places(text))


def _card_places(text: str) -> Iterator[tuple[int, int]]:
    groups = list(_CARD_GROUPS.finditer(text))
    sizes = tuple(len(group[0]) for group in groups)
    for first, size in enumerate(sizes):
        for shape in _CARD_SHAPES.get(size, ()):
            window = groups[first : first + len(shape)]
            if sizes[first : first + len(shape)] == shape and _is_card(text, window):
                yield window[0].start(), window[-1].end()
                break


def _is_card(text: str, window: list[re.Match[str]]) -> bool:
    """Whether one space or hyphen is between each two groups, and all together can be a card's number."""
    pairs = pairwise(window)
    if not all(text[one.end() : two.start()] in _CARD_SEPARATORS for one, two in pairs):
        return False
    digits = "".join(group[0] for group in window)
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return bool(_CARD_ISSUERS.match(digits)) and (sum(map(int, digits[::-2])) + sum(doubled)) % 10 == 0


def _phones(text: str) -> str:
    return _PHONES.sub(_phone, text)


def _phone(found: re.Match[str]) -> str:
    said = found["said"] or ""
    number = found[0][len(said) :]
    return found[0] if _DATE.match(number) else said + PHONE


def _replaced(text: str, by: str, places: Iterator[tuple[int, int]]) -> str:
    """The text with what is at these (ascending) places replaced. Of two that overlap the first counts."""
    parts: list[str] = []
    done = 0
    for start, end in places:
        if start >= done:
            parts += [text[done:start], by]
            done = end
    return "".join([*parts, text[done:]])


KINDS: Final[dict[str, Redact]] = {
    "email": _mails,
    "ip": _ips,
    "iban": _ibans,
    "card": _cards,
    "phone": _phones,
}
"""In the order in which they are looked for: an account's number may look like a phone's."""
