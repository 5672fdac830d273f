"""What counts as personal data, and how to tell it from what only looks like it."""

import ipaddress
import re

from llm_sidecar.redact.finder import Wanted
from llm_sidecar.redact.pattern import parse

_LETTER = r"A-Za-z0-9\x{C0}-\x{24F}"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"

# No \b in front: scripts without spaces write what they mean right behind a word, and RE2's \b knows ASCII letters only.
_EMAIL = rf"[{_LETTER}._%+'\-]{{1,64}}@[{_LETTER}][{_LETTER}.\-]{{0,250}}\.(?:xn--[A-Za-z0-9\-]{{2,59}}|[A-Za-z\x{{C0}}-\x{{24F}}]{{2,24}})"
_IBAN = r"\b[A-Za-z]{2}\d{2}(?:[ \-]?[A-Za-z0-9]){11,30}\b"
_CARD = r"\b[2-689]\d{3}(?:[ \-]?\d){9,15}\b"
_SSN = r"\b\d{3}(?:-\d{2}-| \d{2} )\d{4}\b"
_IPV4 = rf"\b{_OCTET}(?:\.{_OCTET}){{3}}\b"
_IPV6 = r"(?:\b[0-9A-Fa-f]{1,4}|:)(?::[0-9A-Fa-f]{0,4}){2,7}(?:(?:\.\d{1,3}){3})?"
_PHONE = (
    r"(?:\+[1-9](?:[ ./()\-]{0,2}\d){6,14}"  # with the country's code
    r"|\b00[1-9](?:[ ./()\-]{0,2}\d){6,14}"
    r"|(?:\b1[ .\-])?(?:\([2-9]\d\d\) ?|\b[2-9]\d\d[ .\-])\d{3}[ .\-]\d{4}"  # North America
    r"|\(0\d{1,5}\)[ ]?\d(?:[ /\-]?\d){3,9}"  # an area code in brackets
    r"|\b0[1-9](?:(?: \d\d){4}|(?:\.\d\d){4}|(?:-\d\d){4}|\d{0,3}[ /\-]\d{2,8}(?:[ \-]\d{2,6}){0,2}|\d{8,10})"  # a trunk prefix
    r")\b"
)

_GROUPED = re.compile(r"[ \-]")
_NO_PHONE = re.compile(r"\d\d([./-])\d\d\1\d{4}|0\d{4}-\d{4}$|0123456789")
"""A date with what stands behind it, an American postcode, all digits there are."""
_IBAN_COUNTRIES = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 "
    "FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 "
    "MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 "
    "SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
)
_IBAN_LENGTHS = {each[:2]: int(each[2:]) for each in _IBAN_COUNTRIES.split()}


def iban(text: str) -> int:
    """Return how much of a text is an account number: as long as its country says, with the right remainder."""
    length = _IBAN_LENGTHS.get(text[:2].upper())
    end = length and _end_of(text, length)
    if not end:
        return 0
    plain = _GROUPED.sub("", text[:end]).upper()
    digits = "".join([str(int(character, 36)) for character in plain[4:] + plain[:4]])
    return end if int(digits) % 97 == 1 else 0  # ISO 7064


def card(text: str) -> int:
    """Return how much of a text is a card number: 13 to 19 digits with the right last one; where groups follow each other, the most."""
    for length in range(19, 12, -1):
        end = _end_of(text, length)
        if end and _luhn(_GROUPED.sub("", text[:end])):
            return end
    return 0


def ssn(text: str) -> int:
    """Return the length of a social security number, unless one of its parts is never given out."""
    area, group, serial = text[:3], text[4:6], text[7:]
    return 0 if area in {"000", "666"} or area[0] == "9" or group == "00" or serial == "0000" else len(text)


def ipv6(text: str) -> int:
    """Return how much of a text is an address; ``a::b`` is one by the letter and a name in a program by sense, so a digit is asked for."""
    text = text if text.endswith("::") else text.rstrip(":")
    if len(text) < 6 or not any(map(str.isdigit, text)):  # noqa: PLR2004  # shorter ones are loopback and the like
        return 0
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return 0
    return len(text)


def phone(text: str) -> int:
    """Return how much of a text is a telephone number: 7 to 15 digits, 9 to 12 behind a trunk prefix; of groups in a row, the most."""
    if _NO_PHONE.match(text):
        return 0
    fewest, most = (9, 12) if re.match(r"\(?0[1-9]", text) else (7, 15)
    for length in range(most, fewest - 1, -1):
        end = _end_of(text, length)
        if end:
            return end
    return 0


ENTITIES = {
    "email": (Wanted("email", parse(_EMAIL)),),
    "iban": (Wanted("iban", parse(_IBAN), iban),),
    "card": (Wanted("card", parse(_CARD), card),),
    "ssn": (Wanted("ssn", parse(_SSN), ssn),),
    "ip": (Wanted("ip", parse(_IPV4)), Wanted("ip", parse(_IPV6), ipv6)),
    "phone": (Wanted("phone", parse(_PHONE), phone),),
}
"""The built-in patterns, the most telling first: where two begin at the same place, the first one counts."""


def _end_of(text: str, length: int) -> int:
    """Return where this many letters and digits end, if a group ends there too."""
    seen = 0
    for at, character in enumerate(text):
        seen += character.isalnum()
        if seen == length:
            return at + 1 if not text[at + 1 : at + 2].isalnum() else 0
    return 0


def _luhn(digits: str) -> bool:
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(map(int, digits[::-2]))) % 10 == 0
