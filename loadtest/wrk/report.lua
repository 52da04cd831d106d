-- What every script here ends with: one line of JSON that a program can read. Latencies are in microseconds.
local report = {}

report.done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "bytes": %d, "us": %d, "rps": %.1f, "status_errors": %d, "socket_errors": %d, '
      .. '"p50": %d, "p90": %d, "p99": %d, "p999": %d, "max": %d}\n',
    summary.requests, summary.bytes, summary.duration, summary.requests / summary.duration * 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9), latency.max))
end

return report
