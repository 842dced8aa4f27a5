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

LABELS: list[str] = [
    *_HARD,
    *(f"{a}{b}" for a, b in itertools.product(("_", "$", "a "), _HARD) if f"{a}{b}" not in _HARD),
][:200]
assert len(set(LABELS)) == 200
