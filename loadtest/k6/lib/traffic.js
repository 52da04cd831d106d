// What the scripts share: where the gateway is, how fast and how long, who asks.
import { SharedArray } from 'k6/data';

export const BASE = __ENV.BASE_URL || 'http://127.0.0.1:8080';
export const RATE = +(__ENV.RATE || 300);
export const SECONDS = +(__ENV.SECONDS || 30);
// The highest p99 that passes, in milliseconds.
export const P99 = +(__ENV.P99 || 100);

// One bearer token a line: those of `cargo run --release --example tokens`, whose plan is free, plus, partner in turn.
export const TOKENS = __ENV.TOKENS ? new SharedArray('tokens', () => open(__ENV.TOKENS).trim().split('\n')) : [];
export const PLANS = ['free', 'plus', 'partner'];

export const DEVICES = [
  { device: 'mobile', share: 50, agent: 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1' },
  { device: 'desktop', share: 30, agent: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36' },
  { device: 'smart_tv', share: 20, agent: 'Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/94.0.4606.128 Safari/537.36 WebAppManager' },
];

export function anyDevice() {
  let at = Math.random() * 100;
  return DEVICES.find(({ share }) => (at -= share) < 0) || DEVICES[0];
}

// An open model: requests start on time, whatever the answers do.
export function open_model(exec, rate = RATE, more = {}) {
  return { executor: 'constant-arrival-rate', exec, rate, timeUnit: '1s', duration: `${SECONDS}s`, preAllocatedVUs: Math.max(20, rate), maxVUs: Math.max(100, rate * 2), ...more };
}

// The same, from a tenth of the rate up.
export function rising(exec) {
  const { preAllocatedVUs, maxVUs } = open_model(exec);
  const stages = [
    { target: RATE, duration: `${Math.ceil(SECONDS / 3)}s` },
    { target: RATE, duration: `${SECONDS - Math.ceil(SECONDS / 3)}s` },
  ];
  return { executor: 'ramping-arrival-rate', exec, startRate: Math.ceil(RATE / 10), timeUnit: '1s', stages, preAllocatedVUs, maxVUs };
}

// One in a thousand may start late.
export const DROPPED = [`count<${Math.max(1, Math.ceil((RATE * SECONDS) / 1000))}`];
