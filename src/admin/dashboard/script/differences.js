// Differences of two answers: rates, shares and percentiles.

const keyed = (items, key) => new Map(items.map((item) => [key(item), item]));
const sampleOf = (numbers) => ({
  at: numbers.uptime_ms,
  all: numbers.counters.all,
  routes: keyed(numbers.counters.routes, (route) => route.name),
  upstreams: new Map(Object.entries(numbers.counters.upstreams)),
  limits: keyed(numbers.counters.limits, (limit) => JSON.stringify([limit.filter, limit.tier])),
  trimmed: keyed(numbers.counters.trimmed, (trim) => JSON.stringify([trim.route, trim.profile])),
  versions: keyed(numbers.status.canaries ?? [], (version) => JSON.stringify([version.route, version.version])),
  fallbacks: keyed(numbers.counters.fallbacks, (fallback) => JSON.stringify([fallback.filter, fallback.kind])),
});
const keep = (sample) => {
  page.samples.push(sample);
  let last = -Infinity;
  page.samples = page.samples.filter(({ at }) => {
    const age = sample.at - at;
    const kept = age <= OLDEST && (age <= DENSE || at - last >= SPARSE);
    if (kept) last = at;
    return kept;
  });
};
/** The newest answer that is as old as the window, else the oldest there is. */
const base = (seconds) => {
  const now = page.samples[page.samples.length - 1];
  const old = page.samples.filter(({ at }) => now.at - at >= seconds * 1000 - PACE / 2);
  return old[old.length - 1] ?? page.samples[0];
};
/** How much a counter has grown; one that begins again has grown by what it says. */
const grown = (now, before) => now >= (before ?? 0) ? now - (before ?? 0) : now;
const grownAll = (now, before) => now.map((value, at) => grown(value, before?.[at]));
const sum = (values) => values.reduce((all, value) => all + value, 0);
/** As Prometheus does: as if what is in a bucket were spread evenly over it. */
const percentile = (counts, bounds, quantile) => {
  const wanted = sum(counts) * quantile;
  if (wanted === 0) return null;
  let below = 0;
  for (const [at, count] of counts.entries()) {
    if (count > 0 && below + count >= wanted) {
      const low = at === 0 ? 0 : bounds[at - 1];
      return at === bounds.length ? Infinity : low + (bounds[at] - low) * (wanted - below) / count;
    }
    below += count;
  }
  return null;
};
/** What a route did since then. */
const trafficOf = (now, before, seconds, bounds) => {
  if (seconds <= 0) return { rate: null, failed: null, refused: null, p50: null, p99: null, own: null, total: sum(now.answers) };
  const answers = grownAll(now.answers, before?.answers);
  const all = sum(answers);
  const counts = grownAll(now.durations.counts, before?.durations.counts);
  const failed = answers[4] + grown(now.failed_calls, before?.failed_calls);
  return {
    rate: all / seconds, failedRate: failed / seconds, refusedRate: answers[3] / seconds,
    failed: all ? failed / all : null, refused: all ? answers[3] / all : null,
    p50: percentile(counts, bounds, 0.5), p99: percentile(counts, bounds, 0.99),
    own: all ? grown(now.overhead, before?.overhead) / all : null, total: sum(now.answers),
  };
};


const trace = (name, now, before, seconds) => {
  const line = page.lines.get(name) ?? [];
  const answers = grownAll(now.answers, before?.answers);
  line.push({ all: sum(answers) / seconds, failed: (answers[4] + grown(now.failed_calls, before?.failed_calls)) / seconds });
  page.lines.set(name, line.slice(-POINTS));
};
const most = (line) => Math.max(0, ...line.map((point) => point.all));
const drawn = (line, of, top, width, height, closed) => {
  if (line.length < 2 || top === 0) return "";
  const step = width / (POINTS - 1);
  const points = line.map((point, at) => {
    const x = width - (line.length - 1 - at) * step;
    return `${x.toFixed(1)} ${(height - of(point) / top * (height - 2)).toFixed(1)}`;
  });
  const outline = `M${points.join("L")}`;
  return closed ? `${outline}L${width} ${height}L${(width - (line.length - 1) * step).toFixed(1)} ${height}Z` : outline;
};
