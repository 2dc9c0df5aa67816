"""Secrets are replaced by name and by pattern before anything leaves the service's thread."""

from __future__ import annotations

import re

SCRUBBED = "[scrubbed]"

_SECRET_NAME = re.compile(
    r"(?:^|_)pass(?:$|_)|pass(?:wd|word|phrase|code)|(?:^|_)pwd|secret|token(?!s|i[sz])|api_?key|"
    r"access_?key|private_?key|\bauth(?:$|_|orization)|authorization|cookie|session_?id|"
    r"csrf|xsrf|credential|card_?n(?:um|o)|credit_?card|\bcvv|\bcvc|\bssn\b|\biban\b|\bpin\b|"
    r"jwt|signature|encryption_?key|secret_?key|dsn$|otp\b",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*"  # JSON web token, RFC 7519
    r"|(?<=[Bb]earer )[\w.~+/=-]{8,}"
    r"|(?<=[Bb]asic )[A-Za-z0-9+/]{8,}={0,2}"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_\w{20,}"
    r"|\bxox[abprs]-[\w-]{10,}"
    r"|\bsk_(?:live|test)_\w{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
    r"|\b(?:\d[ -]?){13,19}\b"
    r"|(?i:(?<=password=)|(?<=passwd=)|(?<=secret=)|(?<=token=)|(?<=api_key=)|(?<=apikey=))"
    r"[^\s&;,'\"]+"
)
_LINE = re.compile(
    r"^([ \t]*(?:[\w.]{1,12}[ \t]+(?=(?:login|auth\w*)[ \t]))?"
    r"([\w-]{2,60})(?:[ \t]*[:=][ \t]*|[ \t]+))(\S[^\r\n]*)",
    re.MULTILINE | re.IGNORECASE,
)
"""A header or a command, which IMAP puts a tag before: its name and what follows."""
_SECRET_COMMANDS = frozenset(("auth", "login", "pass", "authenticate", "identify"))
"""Of protocols of lines: IMAP, POP3, SMTP, FTP, Redis, IRC."""
_known: dict[str, bool] = {}


def is_secret_name(name: str) -> bool:
    """Whether a variable, key or header of this name is taken for a secret."""
    answer = _known.get(name)
    if answer is None:
        answer = len(name) < 200 and _SECRET_NAME.search(name.replace("-", "_")) is not None
        if len(_known) < 4096:
            _known[name] = answer
    return answer


def scrub_text(text: str) -> str:
    """`text` with whatever looks like a secret replaced."""
    if len(text) < 8:
        return text
    return _SECRET_TEXT.sub(_replace, text)


def scrub_lines(text: str) -> str:
    """The same for what a connection sent, where headers and commands stand a line each."""

    def hide(found: re.Match[str]) -> str:
        lead, name, rest = found.groups()
        if name.lower() in _SECRET_COMMANDS or is_secret_name(name):
            return f"{lead}{SCRUBBED}"
        return f"{lead}{rest}"

    return scrub_text(_LINE.sub(hide, text))


def _replace(found: re.Match[str]) -> str:
    text = found.group()
    if text[0].isdigit() and not _luhn(text):
        return text
    return SCRUBBED


def _luhn(text: str) -> bool:
    """Check digit of payment card numbers, ISO/IEC 7812-1."""
    digits = [int(c) for c in reversed(text) if c.isdigit()]
    if not 13 <= len(digits) <= 19:
        return False
    total = sum(digits[0::2]) + sum(sum(divmod(2 * d, 10)) for d in digits[1::2])
    return total % 10 == 0 and any(digits)
