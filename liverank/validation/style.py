"""The look of the report: system fonts, no images, light and dark."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{--ink:#1c2430;--quiet:#667085;--line:#e4e7ec;--paper:#fff;--back:#f5f6f8;--bar:#5b7fd4;
--good:#13795b;--good-back:#e3f5ee;--fair:#9a5b00;--fair-back:#fdf1dc;--bad:#b3261e;--bad-back:#fdeaea}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ef;--quiet:#98a2b3;--line:#2d3542;--paper:#181d26;--back:#10141b;
--bar:#6f93e6;--good:#62d2a8;--good-back:#12322a;--fair:#f2bf6b;--fair-back:#37290f;--bad:#ff8f87;--bad-back:#3b1a19}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans","Noto Sans CJK SC",sans-serif}
main{max-width:1040px;margin:0 auto;padding:32px 20px 64px}
header,section{background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:20px 24px;
margin:0 0 16px}
header{border-left:8px solid var(--good)}
header.fair{border-left-color:var(--fair)}header.bad{border-left-color:var(--bad)}
header h1{margin:2px 0 4px;font-size:28px;line-height:1.2;color:var(--good)}
header.fair h1{color:var(--fair)}header.bad h1{color:var(--bad)}
header p,header ul{margin:4px 0 0}
.eyebrow{color:var(--quiet);font-size:13px}
h2{font-size:17px;margin:0 0 12px}h3{font-size:14px;margin:18px 0 6px;color:var(--quiet)}
.quiet{color:var(--quiet);font-size:13px;margin:10px 0 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:12px;background:none;border:0;padding:0}
.tiles div{background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:14px 18px}
.tiles b{display:block;font-size:24px;font-variant-numeric:tabular-nums}
.tiles span{color:var(--quiet);font-size:13px}
.bars{width:100%;height:auto;display:block}
.bars rect{fill:var(--bar)}.bars text{font-size:13px;fill:var(--ink)}
.bars .label{text-anchor:end}.bars .number{fill:var(--quiet)}
.bars rect.new{fill:var(--good)}.bars rect.bad{fill:var(--bad)}.bars rect.before{fill:var(--quiet);opacity:.55}
.trio{display:grid;grid-template-columns:repeat(auto-fit,minmax(260px,1fr));gap:0 28px}
.numbers td:first-child{white-space:nowrap}
.numbers td.text,.numbers th.text{text-align:left;min-width:260px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th{text-align:left;color:var(--quiet);font-weight:600;padding:6px 10px;border-bottom:1px solid var(--line)}
td{padding:6px 10px;border-bottom:1px solid var(--line);vertical-align:top}
.numbers td+td,.numbers th+th{text-align:right;font-variant-numeric:tabular-nums}
.checks{border-top:1px solid var(--line)}
.line{border-bottom:1px solid var(--line)}
div.line,summary{display:grid;grid-template-columns:84px 216px 1fr 150px 90px;gap:10px;align-items:baseline;
padding:7px 2px}
summary{cursor:pointer;list-style:none}summary::-webkit-details-marker{display:none}
summary .name::after{content:" ▸";color:var(--quiet)}details[open] summary .name::after{content:" ▾"}
summary:hover{background:var(--back)}
.badge{font-size:12px;font-weight:600;border-radius:99px;padding:1px 9px;text-align:center;justify-self:start}
.badge.pass{color:var(--good);background:var(--good-back)}
.badge.set-aside,.badge.warn{color:var(--fair);background:var(--fair-back)}
.badge.stop,.badge.error{color:var(--bad);background:var(--bad-back)}
.name{font-family:ui-monospace,"SF Mono",Menlo,Consolas,monospace;font-size:13px;overflow-wrap:anywhere}
.about{color:var(--ink)}.told{color:var(--quiet);font-size:13px}.detail{color:var(--bad);font-size:13px}
.count{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}.severity{color:var(--quiet);font-size:13px;text-align:right}
.sample{margin:4px 0 14px;font-size:12.5px;background:var(--back);border-radius:8px}
.sample caption{text-align:left;color:var(--quiet);padding:4px 10px}
.sample td{font-family:ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere;max-width:420px}
@media (max-width:760px){div.line,summary{grid-template-columns:88px 1fr}.about,.count,.severity{grid-column:2;
text-align:left}.severity:empty,.count:empty{display:none}}
@media print{body{background:#fff}details:not([open])>*{display:block}}
"""
