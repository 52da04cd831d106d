// Records every answer and, when the run ends, tells it three ways: text on the terminal, JSON, and one HTML page that needs nothing else.
import { Counter, Gauge, Trend } from 'k6/metrics';
import exec from 'k6/execution';

// The run is cut into so many slices of time; each has a trend of its own, so that the page can show latency as it went.
const SLICES = 40;
const STATUSES = [0, 200, 204, 304, 400, 401, 403, 404, 405, 408, 413, 429, 500, 502, 503, 504];
const PERCENTILES = ['p(50)', 'p(75)', 'p(90)', 'p(95)', 'p(99)', 'p(99.9)', 'max'];

export const summaryTrendStats = ['avg', 'min', 'med', ...PERCENTILES];

const slices = Array.from({ length: SLICES }, (_, index) => new Trend(`slice_${String(index).padStart(2, '0')}`));
const statuses = Object.fromEntries(STATUSES.map((status) => [status, new Counter(`status_${status}`)]));
const other = new Counter('status_other');
const fallbacks = new Counter('fallbacks');
const began = new Gauge('began');

// Call it with each answer. `seconds` is how long the whole run takes.
export function record(answer, seconds) {
  const at = (Date.now() - exec.scenario.startTime) / 1000;
  slices[Math.min(SLICES - 1, Math.floor((at / seconds) * SLICES))].add(answer.timings.duration);
  began.add(exec.scenario.startTime);
  count(answer);
  if (answer.headers['X-Bff-Fallback']) fallbacks.add(1);
}

// Its part for an answer that `setup` gets: it has a status and no place in time.
export function count(answer) {
  (statuses[answer.status] || other).add(1);
}

// What `handleSummary` returns for a script of this name.
export function summarise(name, seconds, data) {
  const facts = gather(name, seconds, data);
  const to = __ENV.RESULTS || '.';
  return {
    stdout: inWords(facts),
    [`${to}/${name}.json`]: JSON.stringify(facts, null, 1) + '\n',
    [`${to}/${name}.html`]: page(facts),
  };
}

function gather(name, seconds, data) {
  const values = (metric) => (data.metrics[metric] ? data.metrics[metric].values : {});
  const duration = values('http_req_duration');
  const thresholds = [];
  for (const [metric, { thresholds: of }] of Object.entries(data.metrics)) {
    for (const [rule, { ok }] of Object.entries(of || {})) thresholds.push({ metric, rule, ok });
  }
  const mix = {};
  for (const status of [...STATUSES, 'other']) {
    const { count } = values(`status_${status}`);
    if (count) mix[status === 0 ? 'no answer' : status] = count;
  }
  // The statuses are to add up to the requests: those in flight when the run ended have none.
  const requests = values('http_reqs').count || 0;
  const counted = Object.values(mix).reduce((sum, count) => sum + count, 0);
  if (counted < requests) mix['cut off'] = requests - counted;
  const overTime = [];
  slices.forEach((_, index) => {
    const of = values(`slice_${String(index).padStart(2, '0')}`);
    if (of['p(99)'] !== undefined) overTime.push({ s: +((index / SLICES) * seconds).toFixed(2), p50: of['p(50)'], p99: of['p(99)'] });
  });
  const checks = [];
  walk(data.root_group, checks);
  return {
    name,
    seconds,
    // Milliseconds since 1970: where what happened outside belongs on the plot.
    began: values('began').value,
    requests,
    rate: values('http_reqs').rate || 0,
    dropped_iterations: values('dropped_iterations').count || 0,
    fallbacks: values('fallbacks').count || 0,
    latency_ms: Object.fromEntries(PERCENTILES.map((key) => [key, duration[key]])),
    statuses: mix,
    checks,
    thresholds,
    over_time: overTime,
  };
}

function walk(group, into) {
  for (const { name, passes, fails } of group.checks) into.push({ name, passes, fails });
  for (const inner of group.groups) walk(inner, into);
}

function inWords(facts) {
  const lines = [`\n${facts.name}: ${facts.requests} requests in ${facts.seconds} s, ${facts.rate.toFixed(0)}/s, ${facts.dropped_iterations} iterations dropped`];
  lines.push('  latency ms  ' + Object.entries(facts.latency_ms).map(([key, value]) => `${key} ${round(value)}`).join('  '));
  lines.push('  statuses    ' + Object.entries(facts.statuses).map(([key, count]) => `${key}: ${count}`).join('  '));
  if (facts.fallbacks) lines.push(`  fallbacks   ${facts.fallbacks}`);
  for (const { name, passes, fails } of facts.checks) lines.push(`  ${fails ? 'FAILED' : 'ok    '}  ${name}: ${passes} of ${passes + fails}`);
  for (const { metric, rule, ok } of facts.thresholds) lines.push(`  ${ok ? 'ok    ' : 'CROSSED'}  ${metric}: ${rule}`);
  return lines.join('\n') + '\n';
}

const round = (value) => (value === undefined ? '-' : value.toPrecision(3));
const short = (value) => String(+value.toPrecision(3));
const escape = (words) => String(words).replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign]);

function page(facts) {
  const row = (cells, cell = 'td') => `<tr>${cells.map((text) => `<${cell}>${escape(text)}</${cell}>`).join('')}</tr>`;
  const judged = facts.thresholds.map(({ metric, rule, ok }) => row([ok ? 'ok' : 'crossed', metric, rule]));
  const checked = facts.checks.map(({ name, passes, fails }) => row([fails ? 'failed' : 'ok', name, `${passes} of ${passes + fails}`]));
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escape(facts.name)}</title>
<style>body{font:15px/1.5 system-ui,sans-serif;max-width:820px;margin:2em auto;color:#212529}table{border-collapse:collapse}
td,th{padding:.2em 1em .2em 0;text-align:left;border-bottom:1px solid #dee2e6}svg{width:100%;height:auto}</style>
<h1>${escape(facts.name)}</h1>
<p>${facts.requests} requests in ${facts.seconds} s, ${facts.rate.toFixed(0)} a second; ${facts.dropped_iterations} iterations dropped; ${facts.fallbacks} fallbacks.</p>
<h2>Latency over time</h2>${plotOverTime(facts.over_time, facts.seconds)}
<h2>Percentiles</h2>${plotBars(Object.entries(facts.latency_ms).map(([key, value]) => [key, value || 0, `${round(value)} ms`]))}
<h2>Statuses</h2>${plotBars(Object.entries(facts.statuses).map(([key, count]) => [key, count, `${count} (${((count / facts.requests) * 100).toFixed(2)} %)`]))}
<h2>Checks</h2><table>${checked.join('')}</table>
<h2>Thresholds</h2><table>${judged.join('')}</table></html>
`;
}

function plotOverTime(points, seconds) {
  if (!points.length) return '<p>no answers</p>';
  const [width, height, left, right, top, bottom] = [800, 260, 60, 60, 20, 30];
  const marks = roundNumbers(Math.max(...points.map((point) => point.p99)));
  const most = marks[marks.length - 1];
  const x = (s) => left + (s / seconds) * (width - left - right);
  const y = (ms) => height - bottom - (ms / most) * (height - bottom - top);
  const line = (key, colour) => `<path d="M${points.map((point) => `${x(point.s).toFixed(1)} ${y(point[key]).toFixed(1)}`).join('L')}" fill="none" stroke="${colour}" stroke-width="2"/>`;
  // Where the two lines end together, their names are one above the other.
  const last = points[points.length - 1];
  const lower = y(last.p50) + 4;
  const label = (key, at, colour) => `<text x="${width - right + 8}" y="${at.toFixed(1)}" fill="${colour}" font-size="13">${key}</text>`;
  const grid = marks.map((ms) => `<path d="M${left} ${y(ms)}H${width - right}" stroke="#dee2e6"/><text x="${left - 8}" y="${y(ms) + 4}" text-anchor="end" font-size="12">${short(ms)} ms</text>`);
  const ticks = [0, 1, 2, 3, 4].map((step) => `<text x="${x((seconds * step) / 4)}" y="${height - 8}" text-anchor="middle" font-size="12">${short((seconds * step) / 4)} s</text>`);
  // `loadtest/k6/run` puts the times in which the origin failed here.
  const faults = `<g class="faults" data-left="${left}" data-right="${width - right}" data-top="${top}" data-bottom="${height - bottom}" data-seconds="${seconds}"></g>`;
  return (
    `<svg viewBox="0 0 ${width} ${height}">${faults}${grid.join('')}${ticks.join('')}${line('p50', '#1f6feb')}${line('p99', '#d9480f')}` +
    `${label('p50', lower, '#1f6feb')}${label('p99', Math.min(y(last.p99) + 4, lower - 15), '#d9480f')}</svg>`
  );
}

// From nought to this much or a little more, in steps that are easy to read.
function roundNumbers(most) {
  const power = 10 ** Math.floor(Math.log10(most || 1));
  const step = [0.2, 0.25, 0.5, 1, 2].map((part) => part * power).find((each) => most / each <= 5);
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, index) => index * step);
}

function plotBars(rows) {
  const most = Math.max(...rows.map(([, value]) => value), 0.001);
  const bars = rows.map(
    ([label, value, words], index) =>
      `<text x="92" y="${index * 26 + 18}" text-anchor="end" font-size="13">${escape(label)}</text>` +
      `<rect x="100" y="${index * 26 + 4}" width="${((value / most) * 520).toFixed(1)}" height="18" fill="#1f6feb"/>` +
      `<text x="${(108 + (value / most) * 520).toFixed(1)}" y="${index * 26 + 18}" font-size="13">${escape(words)}</text>`,
  );
  return `<svg viewBox="0 0 800 ${rows.length * 26 + 8}">${bars.join('')}</svg>`;
}
