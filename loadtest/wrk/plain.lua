-- Prints one line a program can read: requests, errors, and the latency's percentiles in microseconds.
done = function(summary, latency)
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout
  io.write(string.format("RESULT requests=%d errors=%d us=%d p50=%d p99=%d\n", summary.requests, errors, summary.duration,
    latency:percentile(50), latency:percentile(99)))
end
