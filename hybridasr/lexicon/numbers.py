"""Owns numbers as they are read aloud: Arabic ones of Mandarin text in hanzi, and in English.

In Mandarin what follows a number decides how it is read: 2 is 两 before a measure word
(`lexicon/mandarin_measures.txt`), a year is read digit by digit.
"""

import itertools
import re
from functools import cache

from hybridasr.lexicon.table_files import builtin_table

MAX_SPELLINGS = 8
"""Most ways to read the numbers of one text; further ones are dropped."""

NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?%?")
_ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
            "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
            "eighteen", "nineteen")
_ENGLISH_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_LONGEST = 8  # digits of a number that is still read as a quantity


def number_spellings(text: str) -> list[str]:
    """Write Arabic numbers in hanzi, in every usual way, the most usual first.

    Numbers of more than eight digits, or with a leading zero, are read digit by digit.

    >>> number_spellings("2点")
    ['两点']
    >>> number_spellings("2026年")
    ['二零二六年', '两千零二十六年', '二千零二十六年']
    >>> number_spellings("26度")
    ['二十六度']
    >>> number_spellings("50%"), number_spellings("3.5"), number_spellings("3.5%")
    (['百分之五十'], ['三点五'], ['百分之三点五'])
    """
    parts: list[tuple[str, ...]] = []
    end = 0
    for match in NUMBER.finditer(text):
        parts.append((text[end:match.start()],))
        parts.append(_spellings(match[0], text[:match.start()], text[match.end():]))
        end = match.end()
    parts.append((text[end:],))
    combined = itertools.islice(itertools.product(*parts), MAX_SPELLINGS)
    return list(dict.fromkeys(map("".join, combined)))


def english_numbers(number: int) -> list[str]:
    """Write a whole number in English words, in every usual way, the most usual first.

    >>> english_numbers(21), english_numbers(105)
    (['twenty one'], ['one hundred five', 'one hundred and five'])
    >>> english_numbers(12_000), english_numbers(1_000_000)
    (['twelve thousand'], ['one million'])
    """
    for size, name in ((1_000_000, "million"), (1_000, "thousand"), (100, "hundred")):
        if number >= size:
            front = f"{english_numbers(number // size)[0]} {name}"
            rest = number % size
            if not rest:
                return [front]
            joints = (" ", " and ") if rest < 100 else (" ",)
            return [f"{front}{joint}{tail}" for joint in joints for tail in english_numbers(rest)]
    if number < len(_ENGLISH):
        return [_ENGLISH[number]]
    tens = _ENGLISH_TENS[number // 10 - 2]
    return [tens if number % 10 == 0 else f"{tens} {_ENGLISH[number % 10]}"]


def is_number(word: str) -> bool:
    """Tell whether a word is one Arabic number, such as 26, 3.5 or 50%."""
    return NUMBER.fullmatch(word) is not None


def _spellings(number: str, before: str, after: str) -> tuple[str, ...]:
    """Return the ways to read one number between two texts."""
    if number == "100%":
        return "百分之百", "百分之一百"
    percent = "百分之" if number.endswith("%") else ""
    whole, _, fraction = number.rstrip("%").partition(".")
    if percent or fraction:
        point = "点" + _by_digit(fraction) if fraction else ""
        return (percent + _quantities(whole)[-1] + point,)
    if len(whole) > _LONGEST or (len(whole) > 1 and whole[0] == "0"):
        return _names(whole)
    measure = _measure(after)
    # 二 and 两 both mean 2; which one is said depends on the word that follows.
    if whole == "2":
        twos = {"always": ("两",), "often": ("两", "二")}.get(measure, ("二",))
        return ("二",) if before.endswith("第") else twos
    quantities = _quantities(whole)
    if after.startswith("年") and len(whole) == 4:
        return (_by_digit(whole), *quantities)
    if after.startswith("年") and len(whole) == 2:
        return (*quantities, _by_digit(whole))
    # Numbers of rooms, buses and telephones are read digit by digit.
    return quantities if measure or len(whole) < 3 else (*quantities, *_names(whole))


def _measure(after: str) -> str:
    """Return "always" or "often" if a measure word follows a number, else ""."""
    measures = _measures()
    # The longest measure word first: 分钟 (minutes) must not be taken for 分 (points).
    lengths = range(max(map(len, measures)), 0, -1)
    return next((measures[after[:n]] for n in lengths if after[:n] in measures), "")


def _quantities(digits: str) -> tuple[str, ...]:
    """Return a number as a quantity, with 两 and with 二 before 百, 千 and 万 where they differ."""
    if len(digits) > _LONGEST or (len(digits) > 1 and digits[0] == "0"):
        return (_by_digit(digits),)
    return tuple(dict.fromkeys(_quantity(int(digits), two) for two in "两二"))


def _quantity(number: int, two: str) -> str:
    high, low = divmod(number, 10000)
    text = ""
    if high:
        text = (two if high == 2 else _below_10000(high, two)) + "万"
    if low or not high:
        # A gap between 万 and the lower digits is said as 零: 10500 is 一万零五百.
        text += ("零" if high and low < 1000 else "") + _below_10000(low, two)
    # Ten to nineteen begin with ten, not "one ten".
    return text[1:] if text.startswith("一十") else text


def _below_10000(number: int, two: str) -> str:
    if number == 0:
        return "零"
    text = ""
    for unit, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // unit % 10
        if digit:
            text += (two if digit == 2 and unit >= 100 else _by_digit(str(digit))) + name
        # One 零 for any run of zeros inside a number, none at its end: 1005 is 一千零五.
        elif text and not text.endswith("零") and number % unit:
            text += "零"
    return text


def _by_digit(digits: str) -> str:
    return "".join("零一二三四五六七八九"[int(digit)] for digit in digits)


def _names(digits: str) -> tuple[str, ...]:
    """Return a number read digit by digit, and with 幺 for 1 as on the telephone."""
    plain = _by_digit(digits)
    return tuple(dict.fromkeys((plain, plain.replace("一", "幺"))))


@cache
def _measures() -> dict[str, str]:
    return {word: usage for _, (usage, *words) in builtin_table("mandarin_measures.txt")
            for word in words}
