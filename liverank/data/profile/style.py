"""The look of the page: system fonts, no images, light and dark."""

from __future__ import annotations

from typing import Final

_LIGHT: Final = ("#3d6fd1", "#e08a1e", "#2b9a78", "#b5489a", "#7a5cc7", "#c2453c", "#5f7d8c", "#a3a9b5")
_DARK: Final = ("#7ba3f2", "#f2b15c", "#5fcfa8", "#e08bc9", "#ab93ea", "#f28b82", "#92b4c4", "#79818f")


def _palette(colours: tuple[str, ...]) -> str:
    return "".join(f"--c{at}:{colour};" for at, colour in enumerate(colours))


_SERIES: Final = "".join(
    f".f{at}{{fill:var(--c{at})}}.s{at}{{stroke:var(--c{at})}}.b{at}{{background:var(--c{at})}}"
    for at in range(len(_LIGHT))
)
STYLE: Final = (
    f":root{{color-scheme:light dark;{_palette(_LIGHT)}"
    "--ink:#1c2430;--quiet:#5d6778;--line:#e4e7ec;--paper:#fff;--back:#f4f5f8;"
    "--good:#13795b;--fair:#9a5b00;--bad:#b3261e}"
    f"@media (prefers-color-scheme:dark){{:root{{{_palette(_DARK)}"
    "--ink:#e6e9ef;--quiet:#a0a9b8;--line:#2c3440;--paper:#181d26;--back:#10141b;"
    "--good:#62d2a8;--fair:#f2bf6b;--bad:#ff8f87}}"
    """
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans","Noto Sans CJK SC",sans-serif}
main{max-width:1160px;margin:0 auto;padding:32px 20px 64px}
.eyebrow{color:var(--quiet);font-size:13px;overflow-wrap:anywhere}
h1{margin:2px 0 2px;font-size:30px;line-height:1.2;overflow-wrap:anywhere}
.span{margin:0 0 20px;color:var(--quiet)}
h2{font-size:21px;margin:34px 0 12px}
h3{font-size:15px;margin:0 0 2px}
.lead{color:var(--quiet);font-size:13.5px;margin:0 0 12px;max-width:76ch}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:0 0 16px}
.tiles div,.card{background:var(--paper);border:1px solid var(--line);border-radius:12px}
.tiles div{padding:12px 16px}
.tiles b{display:block;font-size:24px;line-height:1.25;font-variant-numeric:tabular-nums}
.tiles span{color:var(--quiet);font-size:13px}
.grid{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:14px}
.card{padding:16px 18px;min-width:0}.wide{grid-column:1/-1}
.facts{display:flex;flex-wrap:wrap;gap:4px 18px;margin:10px 0 0;font-size:13px;color:var(--quiet)}
.facts b{color:var(--ink);font-variant-numeric:tabular-nums}
.findings{list-style:none;margin:0;padding:0}
.findings li{display:grid;grid-template-columns:118px 1fr;gap:12px;padding:9px 0;border-top:1px solid var(--line)}
.findings li:first-child{border-top:0}
.findings p{margin:0}.findings .do{color:var(--quiet);font-size:13.5px}
.badge{font-size:12px;font-weight:600;border-radius:99px;padding:2px 10px;align-self:start;white-space:nowrap;
justify-self:start;
border:1px solid currentColor}
.badge.mend{color:var(--bad)}.badge.mind{color:var(--fair)}.badge.know{color:var(--good)}
.chart{width:100%;height:auto;display:block}
.chart text{font-size:11.5px;fill:var(--ink)}
.chart .tick{fill:var(--quiet)}.chart .title{fill:var(--quiet);font-size:12px}
.chart .end{text-anchor:end}.chart .middle{text-anchor:middle}.chart .label{font-size:12.5px}
.chart line.grid{stroke:var(--line);stroke-width:1}
.chart polyline{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.chart polyline.dashed{stroke-dasharray:4 5;stroke-width:1.5}
.chart .band{opacity:.2}.chart .heat{fill:var(--c0)}
.chart g:hover rect{filter:brightness(1.15)}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:12.5px;color:var(--quiet);margin:2px 0 4px}
.legend i{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:6px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th{text-align:left;color:var(--quiet);font-weight:600;padding:6px 10px;border-bottom:1px solid var(--line)}
td{padding:6px 10px;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
.numbers td+td,.numbers th+th{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.none{color:var(--quiet);margin:8px 0}
@media (max-width:820px){.grid{grid-template-columns:1fr}.card.wide{overflow-x:auto}.card.wide>.chart{min-width:760px}
.findings li{grid-template-columns:1fr;gap:4px}}
@media print{body{background:#fff}.card,.tiles div{break-inside:avoid}}
""" + _SERIES
)
