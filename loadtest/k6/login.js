// People with tokens of three plans: each plan has its limit, and the dearest never feels it.
import http from 'k6/http';
import { check } from 'k6';
import { record, summarise, summaryTrendStats as stats } from './lib/report.js';
import { BASE, DROPPED, P99, PLANS, SECONDS, TOKENS, open_model } from './lib/traffic.js';

if (TOKENS.length === 0) throw new Error('TOKENS names a file with a bearer token a line; loadtest/k6/run makes one');

// What a plan's limit answers is no failure.
http.setResponseCallback(http.expectedStatuses(200, 429));

export const options = {
  scenarios: { login: open_model('login') },
  thresholds: { http_req_duration: [`p(99)<${P99}`], http_req_failed: ['rate<0.001'], dropped_iterations: DROPPED, checks: ['rate>0.999'] },
  summaryTrendStats: stats,
};

export function login() {
  const index = Math.floor(Math.random() * TOKENS.length);
  const plan = PLANS[index % PLANS.length];
  const answer = http.get(`${BASE}/api/v1/products`, { headers: { Authorization: `Bearer ${TOKENS[index]}` } });
  record(answer, SECONDS);
  check(answer, {
    'is answered or told to wait': ({ status, headers }) => status === 200 || (status === 429 && +headers['Retry-After'] >= 1),
    'knows what is left': ({ headers }) => /;r=\d+;t=\d+/.test(headers['Ratelimit'] || ''),
    'a partner is never made to wait': ({ status }) => plan !== 'partner' || status === 200,
  });
}

export const handleSummary = (data) => summarise('login', SECONDS, data);
