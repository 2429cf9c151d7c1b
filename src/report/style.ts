/** The style sheet of report pages: readable on screens of any width, light or dark, and on paper. */
export const pageStyle = `:root {
	color-scheme: light dark;
	--ink: #1b1f24; --soft: #57606a; --paper: #fff; --raised: #f6f8fa; --line: #d0d7de; --link: #0550ae;
}
@media (prefers-color-scheme: dark) {
	:root { --ink: #e6edf3; --soft: #9da7b3; --paper: #0d1117; --raised: #161b22; --line: #30363d; --link: #79c0ff; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
main { max-width: 56rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.8rem; line-height: 1.25; margin: 0 0 0.5rem; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 0.75rem; padding-top: 0.75rem; border-top: 1px solid var(--line); }
a { color: var(--link); }
.summary { font-size: 1.08rem; }
nav ol { columns: 16rem; padding-left: 1.25rem; color: var(--soft); }
figure { margin: 1.25rem 0 1.75rem; }
figure svg { display: block; max-width: 100%; height: auto; color: var(--ink); }
figure svg .paper { fill: none; }
figure svg .halo { stroke: var(--paper); }
figcaption, caption { color: var(--soft); font-size: 0.9rem; text-align: left; }
figcaption { margin: 0.4rem 0; }
caption { padding: 0 0 0.5rem; }
.table { overflow-x: auto; margin: 1rem 0 1.5rem; }
table { border-collapse: collapse; font-size: 0.9rem; }
th, td { padding: 0.35rem 0.75rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { border-bottom-width: 2px; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { margin: 0; padding: 0.8rem 1rem; background: var(--raised); border: 1px solid var(--line); border-radius: 6px; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
code { font: 0.875em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
footer { color: var(--soft); }
footer td { overflow-wrap: anywhere; }
@media print {
	:root { --ink: #000; --soft: #333; --paper: #fff; --raised: #fff; --line: #999; --link: #000; }
	main { max-width: none; padding: 0; }
	nav { display: none; }
	figure, tr, pre { break-inside: avoid; }
	h2 { break-after: avoid; }
	.table { overflow: visible; }
	.table table { width: 100%; font-size: 6.5pt; }
	.table :is(th, td) { padding: 2pt 2.5pt; overflow-wrap: break-word; }
	thead .number { white-space: normal; }
	figure svg { max-height: 11cm; }
}
`;
