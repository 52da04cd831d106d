// The upstream fails in turn: errors, nothing at all, no listener. `loadtest/k6/run chaos` is who breaks and mends it; clients must get an answer.
import http from 'k6/http';
import { check } from 'k6';
import { count, record, summarise, summaryTrendStats as stats } from './lib/report.js';
import { BASE, DROPPED, RATE, SECONDS, open_model } from './lib/traffic.js';

export const options = {
  scenarios: { chaos: open_model('chaos') },
  // An answer that waits for a silent upstream may take its whole first_byte, and no longer.
  thresholds: { http_req_duration: ['p(99)<1000', 'max<3000'], http_req_failed: ['rate<0.0005'], dropped_iterations: DROPPED, checks: ['rate>0.9995'] },
  summaryTrendStats: stats,
};

export function chaos() {
  const answer = http.get(`${BASE}/api/v1/chaos`, { timeout: '5s' });
  record(answer, SECONDS);
  check(answer, {
    'is 200': ({ status }) => status === 200,
    'is whole': ({ body }) => body && JSON.parse(body).items !== undefined,
    'a fallback is not to be stored': ({ headers }) => !headers['X-Bff-Fallback'] || headers['Cache-Control'] === 'no-store',
  });
}

// Asks once before the upstream is broken, so that there is a last good answer.
export function setup() {
  const answer = http.get(`${BASE}/api/v1/chaos`);
  count(answer);
  if (answer.status !== 200) throw new Error(`the gateway answers ${answer.status} before anything is broken (at ${RATE}/s)`);
}

export const handleSummary = (data) => summarise('chaos', SECONDS, data);
