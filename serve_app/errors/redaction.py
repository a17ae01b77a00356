"""
Remove everything that looks like a key from a text.

Vendors repeat the key that they refuse, whole or masked with stars, and not always exactly; exceptions of
libraries contain headers and addresses. Every text from outside the gateway passes through here on its way to
a caller or into a log.
"""

import re
from functools import lru_cache

HIDDEN = "***"
_LONGEST_WORD = 24  # letters; no longer English word follows a word for a secret

# The prefixes of vendors' keys. Dots and stars stand for the part that a vendor masks in a key it repeats.
_PREFIXES = (
    r"(?:sk|pk|rk|gsk|csk|xai|nvapi|pplx|tgp|fw|hf|r8|co|esecret|apikey|ghp|gho|ghs|ghu|github_pat|glpat|xox[abeoprs]"
    r"|dop_v1|dapi|lsv2|bce-v3|ak|xa)"
)
_KEY = re.compile(
    rf"(?<![A-Za-z0-9])(?:{_PREFIXES}|(?i:sk|pk|rk))[-_](?=[\w*.…-]{{0,80}}[\d*…]|[\w-]{{0,40}}\.\.|\w{{12}})(?:[\w*…-]|\.(?=[\w*.…-])){{6,}}"
    r"|(?<![A-Za-z0-9])AIza[\w*-]{6,}"
    r"|(?<![A-Za-z0-9])ya29\.[\w.-]{8,}"
    r"|(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9*]{8,}"
    r"|(?<![A-Za-z0-9])eyJ[\w-]{6,}(?:\.[\w-]+){0,2}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"
)
# "Bearer abc", "Authorization: Basic abc"
_SCHEME = re.compile(
    r"\b(Bearer|Basic)(\s+)(?!(?:auth\w*|tokens?|key|header|credentials?)\b)[^\s\"',;<>]{6,}", re.I
)
# "https://user:password@host"
_USER = re.compile(r"(?<=://)[^\s/@:]{1,200}:[^\s/@]{1,200}@")
# "API key provided: abc", "x-api-key=abc", "'token': 'abc'": a long word after a word for a secret.
_NAMED = re.compile(
    r"(?P<name>(?:key|token|secret|passw(?:or)?d|credentials?|authorization|signature|sig)s?\b"
    r"(?:[\"'`\])<(:=>]|\s|\bis\b|\bprovided\b|\bgiven\b|\bwas\b|\byou\b|\bsent\b|\bused\b|\bvalue\b|\bending\b"
    r"|\bstarting\b|\bwith\b|\bin\b|\binvalid\b){0,40}+)"
    r"(?P<value>[A-Za-z0-9+/_*.~=%-]{16,})",
    re.I,
)
_LONG = re.compile(r"(?<![A-Za-z0-9+/=_-])(?=[A-Za-z+/=_-]*\d)(?=[\d+/=_-]*[A-Za-z])[A-Za-z0-9+/=_-]{40,}")


def redacted(text: str, secret: str | None = None) -> str:
    """
    Return the text without `secret`, the gateway's own key, and without anything shaped like a key.

    A word whose middle a vendor has masked with stars is removed as a whole: its ends are part of the key.
    """
    if secret:
        text = _exactly(secret).sub(HIDDEN, text)
    text = _KEY.sub(HIDDEN, text)
    text = _SCHEME.sub(rf"\1\2{HIDDEN}", text)
    text = _USER.sub(f"{HIDDEN}@", text)
    text = _NAMED.sub(_hide_value, text)
    text = _LONG.sub(_hide_long, text)
    if HIDDEN in text:
        text = " ".join(_hide_starred(word) for word in text.split(" "))
    return text


@lru_cache(maxsize=64)
def _exactly(secret: str) -> re.Pattern[str]:
    return re.compile(re.escape(secret), re.IGNORECASE)


def _hide_value(found: re.Match[str]) -> str:
    value = found["value"].rstrip(".")
    is_key = _is_random(value) or "**" in value or (len(value) >= _LONGEST_WORD and value.isalnum())
    return found["name"] + HIDDEN if is_key else found[0]


def _hide_long(found: re.Match[str]) -> str:
    return HIDDEN if _is_random(found[0]) else found[0]


def _is_random(word: str) -> bool:
    """Return whether a word looks random: letters mixed with digits, and not a path or a compound name."""
    if not (any(char.isdigit() for char in word) and any(char.isalpha() for char in word)):
        return False
    longest = max(len(part) for part in re.split(r"[-_./=+%]", word))
    return longest >= 12


def _hide_starred(word: str) -> str:
    return HIDDEN if HIDDEN in word else word
