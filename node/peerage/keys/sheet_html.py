"""The recovery sheet as a page to print: one file, nothing loaded, legible in black and white."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_STYLE = """
@page { size: A4; margin: 16mm }
* { box-sizing: border-box }
body { font: 10.5pt/1.4 system-ui, sans-serif; color: #111; background: #fff; max-width: 178mm; margin: 8mm auto }
h1 { font-size: 19pt; margin: 0 0 1mm }
h2 { font-size: 12pt; margin: 6mm 0 2mm; border-bottom: .4mm solid #111; padding-bottom: .8mm }
p { margin: 0 0 2mm }
.warn { border: .5mm solid #111; padding: 2.5mm 3.5mm; margin: 3mm 0 }
ol.words { list-style: none; margin: 0; padding: 0; display: grid; grid-auto-flow: column; gap: 1.2mm 4mm }
ol.main { grid-template: repeat(8, auto) / repeat(3, 1fr) }
ol.parity { grid-template: repeat(2, auto) / repeat(3, 1fr) }
ol.words li { display: flex; align-items: baseline; border-bottom: .2mm solid #999; padding: .6mm 0 }
ol.words span { width: 9mm; color: #555; font-size: 9pt; text-align: right; padding-right: 2.5mm }
ol.words b { font: 600 13.5pt/1.25 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; letter-spacing: .02em }
table { border-collapse: collapse; width: 100% }
td { border-bottom: .2mm solid #999; padding: .8mm 0; vertical-align: top; overflow-wrap: anywhere }
td:first-child { width: 24mm; color: #555 }
td, code { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 9pt }
ol.steps { margin: 0; padding-left: 6mm }
ol.steps li { margin-bottom: 1mm }
footer { margin-top: 5mm; color: #555; font-size: 8.5pt }
@media print { body { margin: 0; max-width: none } }
"""


def page(words: Sequence[str], parity: Sequence[str], facts: Sequence[tuple[str, str]]) -> str:
    """The page. words, parity: in order, numbered on from 1. facts: (name, value) of the chain's lines."""
    own = "".join(_word(number, word) for number, word in enumerate(words, 1))
    spare = "".join(_word(number, word) for number, word in enumerate(parity, len(words) + 1))
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in facts)
    parity_part = (
        "<h2>Parity words</h2><p>They repair a misread sheet: of all thirty words up to three may be wrong, or six "
        f'illegible, and recovery says which they were.</p><ol class="words parity">{spare}</ol>'
        if parity
        else ""
    )
    facts_part = f"<h2>The network</h2><table>{rows}</table>" if facts else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="referrer" content="no-referrer">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Peerage recovery sheet</title><style>{_STYLE}</style></head><body>"
        "<h1>Peerage recovery sheet</h1>"
        "<p>These words are the member: they open every backup and control the account on chain.</p>"
        '<p class="warn"><strong>Whoever reads this page can read the backups and spend the credits.</strong> Keep two '
        "copies on paper, in two places, neither of them beside the machine. Store no photograph or scan of it.</p>"
        f'<h2>The 24 words</h2><ol class="words main">{own}</ol>{parity_part}{facts_part}'
        '<h2>To recover everything</h2><ol class="steps">'
        "<li>On any machine with Python 3.11 or later, install Peerage.</li>"
        "<li>Type this sheet into a file: a line <code>words:</code> with the 24 words, a line <code>parity:</code> "
        "with the other six, and the network's lines as above. Put <code>?</code> for a word that you cannot read.</li>"
        "<li>Run <code>peerage recover --words-file FILE --rpc URL --target DIR</code>. Any member's chain endpoint "
        "will do if those above no longer answer.</li>"
        "<li>Destroy the file.</li></ol>"
        "<footer>BIP-39 English words, account m/44'/60'/0'/0/0. Parity: Reed–Solomon over GF(2<sup>11</sup>), "
        "polynomial 0x805, six symbols.</footer></body></html>\n"
    )


def _word(number: int, word: str) -> str:
    return f"<li><span>{number}</span><b>{escape(word)}</b></li>"
