"""The contract's page: what was checked on a batch, what broke, and what to do. One file, no script, nothing loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.config import LoadedProject, shown
from tasks.contract.files import settle, stem, writing
from tasks.results import ContractResult, RuleResult, to_json
from tasks.stats.personal import FEWEST_OF_A_VALUE

_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ outcome }}: {{ r.batch }} of {{ project }}</title>
<style>
:root { --ink: #1d2228; --soft: #5b6570; --line: #d9dee3; --paper: #fff; --panel: #f5f7f9;
  --good: #14693a; --goodbg: #e3f4ea; --bad: #a3201c; --badbg: #fbe7e6; --warn: #7a4b00; --warnbg: #fdf0d8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9aa5b1; --line: #343c45; --paper: #14181c;
  --panel: #1d2329; --good: #7fd8a4; --goodbg: #143322; --bad: #ff9c96; --badbg: #421a18; --warn: #f2c36b;
  --warnbg: #3a2a0a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; line-height: 1.25; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .25rem 0 .75rem; } .soft { color: var(--soft); }
.badge { display: inline-block; padding: .05rem .55rem; border-radius: 1rem; font-size: .85rem; font-weight: 600;
  white-space: nowrap; }
.good { color: var(--good); background: var(--goodbg); } .bad { color: var(--bad); background: var(--badbg); }
.warn { color: var(--warn); background: var(--warnbg); } .na { color: var(--soft); background: var(--panel); }
.facts { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1rem 0; padding: 0; }
.facts div { flex: 1 1 9rem; background: var(--panel); border: 1px solid var(--line); border-radius: .5rem;
  padding: .6rem .8rem; }
.facts dt { color: var(--soft); font-size: .85rem; } .facts dd { margin: 0; font-size: 1.25rem; font-weight: 600;
  font-variant-numeric: tabular-nums; }
.next { border-left: 4px solid var(--line); padding: .1rem 0 .1rem .9rem; }
.next ul { margin: .25rem 0; padding-left: 1.1rem; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; table-layout: fixed; }
th:nth-child(1) { width: 34%; } th:nth-child(2) { width: 10.5rem; } th:nth-child(5) { width: 6rem; }
th, td { text-align: left; vertical-align: top; padding: .45rem .6rem; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; font-size: .85rem; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th.number { text-align: right; }
code { font: .88em ui-monospace, monospace; background: var(--panel); padding: .05rem .3rem; border-radius: .25rem; }
@media (max-width: 44rem) { thead { display: none; } tr { display: block; border: 1px solid var(--line);
  border-radius: .5rem; margin-bottom: .6rem; padding: .4rem .2rem; } td, td.number { display: block; border: 0;
  padding: .15rem .6rem; text-align: left; white-space: normal; }
  td[data-label]::before { content: attr(data-label) ": ";
  color: var(--soft); } }
</style>
</head>
<body>
<p class="soft">{{ project }} · data contract</p>
<h1>Batch {{ r.batch }} <span class="badge {{ 'good' if accepted else 'bad' }}">{{ outcome }}</span></h1>
<p>{{ r.reason }}.</p>
<dl class="facts">
<div><dt>rows delivered</dt><dd>{{ '{:,}'.format(r.rows) }}</dd></div>
<div><dt>in quarantine</dt><dd>{{ '{:,}'.format(r.quarantined) }}</dd></div>
<div><dt>share, of {{ '{:.4g}'.format(limit * 100) }}% allowed</dt><dd>{{ '{:.2%}'.format(share) }}</dd></div>
<div><dt>rules that held</dt><dd>{{ held }} of {{ r.rules | length }}</dd></div>
</dl>
<h2>What to do</h2>
<div class="next"><ul>{% for step in steps %}<li>{{ step }}</li>{% endfor %}</ul></div>
{% macro table(rules) %}
<table>
<thead><tr><th>rule</th><th>result</th><th>expected</th><th>found</th><th class="number">rows failed</th></tr></thead>
<tbody>
{% for rule in rules %}
<tr>
<td><strong>{{ rule.name }}</strong><br><small class="soft">{{ rule.kind }}</small></td>
<td><span class="badge {{ tone(rule) }}">{{ word(rule) }}</span></td>
<td data-label="expected">{{ rule.expected }}</td>
<td data-label="found">{{ rule.observed }}</td>
<td class="number" data-label="rows failed">{{ failed(rule) }}</td>
</tr>
{% endfor %}
</tbody>
</table>
{% endmacro %}
{% if broken %}<h2>Rules that broke</h2>{{ table(broken) }}{% endif %}
{% if kept %}<h2>Rules that held</h2>{{ table(kept) }}{% endif %}
{% if r.personal %}<h2 id="personal">Columns of personal data</h2>
<ul>{% for name, looks in r.personal.items() %}<li><code>{{ name }}</code>: {{ looks }}
{%- if name in excluded %}; in <code>data.exclude</code>, so that no model reads it{% endif %}</li>
{% endfor %}</ul>
<p>What such a column says is about people, and a model may learn it by heart. Its values are kept out of this page, the
ledger, Data Docs, drift reports and the example of a model's input. The source holds them, and so do the files that are
made of its rows: quarantine, predictions (ids) and the model's reference rows.</p>
<p>In <code>{{ project_file }}</code>, <code>data.exclude</code> keeps a column from the model,
<code>data.not_personal</code> says that it is none, and <code>data.personal</code> that you know of it.</p>{% endif %}
<h2>Where this comes from</h2>
<p>Contract <code>{{ r.contract }}</code>
{%- if file %}, stated in <code>{{ file }}</code>{% else %}: no contract file, so only the rules that always hold were
checked{% endif %}. A rule about rows sends the rows that break it to quarantine: they are neither trained on nor
scored. A rule about the batch refuses the batch. A warning has no consequence. A text that fewer than {{ fewest }} rows
hold is not shown, since it may name a person; <code>_row</code> is a row's position in the batch.</p>
{% if docs %}<p class="soft">Great Expectations' own Data Docs, on a sample: <code>{{ docs }}</code></p>{% endif %}
</body>
</html>
"""


def write_page(project: LoadedProject, result: ContractResult) -> Path:
    """Write the page of one check under `<project folder>/contract/` and return its path.

    Everything that the data brought (column names, values, batch keys) is escaped. The same result gives the same
    file. Raises InfrastructureError where it cannot be written.
    """
    from jinja2 import Environment, StrictUndefined

    broken = sorted((x for x in result.rules if not x.passed), key=_weight)
    kept = [x for x in result.rules if x.passed]
    contract = project.contract_path
    page = (
        Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
        .from_string(_TEMPLATE)
        .render(
            r=result,
            project=project.name,
            outcome=result.outcome,
            accepted=result.outcome == "accepted",
            share=result.quarantined / result.rows if result.rows else 0.0,
            limit=project.spec.contract.max_quarantine,
            held=len(kept),
            broken=broken,
            kept=kept,
            steps=_steps(project, result),
            file=shown(contract) if contract else None,
            docs=shown(result.data_docs) if result.data_docs else None,
            excluded=frozenset(project.spec.data.exclude),
            project_file=shown(project.path),
            fewest=FEWEST_OF_A_VALUE,
            tone=_tone,
            word=_word,
            failed=_failed,
        )
    )
    folder = project.folder / "contract"
    with writing(folder) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")
        return settle(temporary, folder / f"{stem(result.batch, to_json(result))}.html")


def _steps(project: LoadedProject, result: ContractResult) -> list[str]:
    contract = project.contract_path
    stated = shown(contract) if contract else f"configs/{project.name}.contract.yaml (not there yet)"
    steps = []
    if result.outcome == "refused":
        steps.append("The batch was neither trained on nor scored. Ask whoever delivers it for a corrected one.")
        steps.append(f"If the delivery is right and the rule is wrong, change {stated}; the next run checks it again.")
    if result.quarantine is not None:
        path = shown(result.quarantine)
        steps.append(f"Look at the rows in {path}: _rules names what each broke, _row is its position in the batch.")
    if result.outcome == "accepted" and result.quarantine is not None:
        steps.append(f"Mend them at their source, or widen the rule in {stated} where they are right after all.")
    if any(not r.passed and r.severity != "critical" for r in result.rules):
        steps.append("The warnings below changed nothing; see whether they tell of a change in the source.")
    data = project.spec.data
    unsettled = [name for name in result.personal if name not in (*data.personal, *data.exclude)]
    if unsettled:
        more = f" and {len(unsettled) - 1} more" if len(unsettled) > 1 else ""
        steps.append(f"Say what {unsettled[0]!r}{more} may be used for: it looks like personal data, see below.")
    return steps or ["Nothing: every row may be used."]


_FIRST = ("expect_column_to_exist", "type")  # what other failures follow from


def _weight(rule: RuleResult) -> tuple[Any, ...]:
    return (
        rule.severity != "critical",
        rule.scope == "row",
        rule.kind not in _FIRST,
        rule.observed.startswith("not checked"),
        -rule.failed,
    )


def _tone(rule: RuleResult) -> str:
    if rule.passed:
        return "good"
    return "bad" if rule.severity == "critical" and rule.scope == "batch" else "warn"


def _word(rule: RuleResult) -> str:
    if rule.passed:
        return "held"
    if rule.severity != "critical":
        return rule.severity
    return "quarantined" if rule.scope == "row" else "refused the batch"


def _failed(rule: RuleResult) -> str:
    return f"{rule.failed:,}" if rule.scope == "row" else ("-" if rule.passed else "all")
