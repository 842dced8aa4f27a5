"""Names that people give to groups, columns and arms, and what tables and figures have been seen to make of them."""

from __future__ import annotations

import itertools

_HARD = (
    "", " ", "   ", "\u00a0", "None", "NA", "N/A", "null", "nan", "NaN", "-", "#N/A", "<NA>", "True", "0", "1e5", "-0",
    "_full", "__", "_nolegend_", "_child0", "full_", "$", "$$", "$$$", "one_bit$x$", "x_$^$", "$\\frac$", r"\$5", "a\\",
    "\\", r"\\$", "$x", "x$", "$m^{-0.5}$", "^", "_", "a_b^c", "{", "}", "{}", "{0}", "%", "%s", "100%", "{%", "&", "#",
    "~", "a\nb", "\n", "a\r\nb", "a\tb", "\x00", "\x07", "\x1b[31mred", "\u2028", "\u200b", "\ufeffbom", "\ud800",
    "\U0001f600", "\U0001f9e0 1-bit", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "é", "e\u0301", "ﬁ", "µ", "Ω",
    "中文", "日本語", "한국어", "שלום", "עברית 1", "عربي", "\u202eabc", "हिन्दी", "<script>", "</td>", '"',
    "'", "''", '"a"', "a,b", "a;b", "a|b", "`a`", "*a*", "[a]", "(a)", "=1+1", "@a", "x" * 200, "word " * 40,
    "$" * 200, "a" * 40, "a" * 41,    " lead", "trail ", "..", "/etc", "C:\\temp", "a/b", "~a", "%20", "--group", "-h",
)  # fmt: skip

_OF_ROWS = (
    "n/a", "NULL", "-nan", "NaT", "inf", "-inf", "Infinity", "False", "true", "yes", "no", "--", ".", "?", "*", "00",
    "007", "7", "7.0", "1_000", "0x10", "$x$", "$^$", "{name}", "}{", "\\alpha", "\\n", "/", "a=b", "a=b,c=d",
    "\"quoted\"", "it's", ";", "|", "a\rb", "\nfirst", "last\n", " leading", "trailing ", "two  spaces", "<b>",
    "&amp;", "ß", "İ", "עברית", "العربية", "a\u200bb", "\ufeff", "🙂", "👩\u200d🔬", "𝔘", "group", "all", "index",
    "level_0", "Unnamed: 0", "loss", "x", "run", "a b", "A", "a", "ª",
)  # fmt: skip

LABELS: list[str] = [
    *_HARD,
    *(f"{a}{b}" for a, b in itertools.product(("_", "$", "a "), _HARD) if f"{a}{b}" not in _HARD),
][:200]
assert len(set(LABELS)) == 200

TABLE_LABELS: list[str] = [
    label
    for label in (*_HARD, *_OF_ROWS, *LABELS[len(_HARD) :])
    if label.strip()
    and label.encode("utf-8", "ignore").decode() == label  # a blank is no label, a lone surrogate no text
][:200]
assert len(set(TABLE_LABELS)) == 200
