// Words for numbers.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const NOTHING = "–";

const rate = (value) => value === null ? NOTHING : value === 0 ? "0" : value < 0.05 ? "<0.1" : value < 100 ? tenth.format(value) : whole.format(value);
const share = (value) => {
  if (value === null) return NOTHING;
  const percent = value * 100;
  if (percent === 0) return "0 %";
  if (percent < 0.1) return "<0.1 %";
  // No share is all of it that is not.
  if (percent > 99.9 && percent < 100) return ">99.9 %";
  return percent < 9.95 || percent > 99 && percent < 100 ? `${tenth.format(percent)} %` : `${whole.format(percent)} %`;
};
const time = (seconds) => {
  if (seconds === null) return NOTHING;
  if (seconds === Infinity) return ">10 s";
  if (seconds < 0.001) return `${whole.format(seconds * 1e6)} µs`;
  if (seconds < 0.01) return `${tenth.format(seconds * 1000)} ms`;
  return seconds < 1 ? `${whole.format(seconds * 1000)} ms` : `${tenth.format(seconds)} s`;
};
const span = (seconds) => {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = parts.findIndex(([size]) => seconds >= size);
  if (at < 0) return "0 s";
  const [size, unit] = parts[at];
  const [next, nextUnit] = parts[at + 1] ?? [0, ""];
  const left = next ? Math.floor((seconds % size) / next) : 0;
  return `${Math.floor(seconds / size)} ${unit}${left && at > 0 || left && at === 0 ? ` ${left} ${nextUnit}` : ""}`;
};
const ago = (millis) => millis < 1000 ? "just now" : `${span(Math.floor(millis / 1000))} ago`;
const bytes = (value) => {
  if (value === null) return NOTHING;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) { value /= 1024; at += 1; }
  return `${at === 0 || value >= 100 ? whole.format(value) : tenth.format(value)} ${units[at]}`;
};
const clock = (millis) => new Date(millis).toLocaleTimeString("en-GB");
const many = (count, one, more) => `${whole.format(count)} ${count === 1 ? one : more}`;
