// Forged, unsigned and broken tokens, and one customer far over the limit; beside them people who must not notice.
import http from 'k6/http';
import encoding from 'k6/encoding';
import { check } from 'k6';
import { record, summarise, summaryTrendStats as stats } from './lib/report.js';
import { BASE, DROPPED, P99, RATE, SECONDS, TOKENS, open_model } from './lib/traffic.js';

if (TOKENS.length < 6) throw new Error('TOKENS names a file with a bearer token a line; loadtest/k6/run makes one');

http.setResponseCallback(http.expectedStatuses(200, 400, 401, 429));

export const options = {
  scenarios: {
    well_behaved: open_model('well_behaved', Math.ceil(RATE / 4)),
    bad_tokens: open_model('bad_tokens', Math.ceil(RATE / 2)),
    over_the_limit: open_model('over_the_limit', Math.ceil(RATE / 4)),
  },
  thresholds: {
    'http_req_duration{scenario:well_behaved}': [`p(99)<${P99}`],
    'checks{scenario:well_behaved}': ['rate==1'],
    'checks{scenario:bad_tokens}': ['rate==1'],
    'checks{scenario:over_the_limit}': ['rate>0.999'],
    http_req_failed: ['rate<0.001'],
    dropped_iterations: DROPPED,
  },
  summaryTrendStats: stats,
};

const unsigned = (claims) => ['none', 'None', 'nOnE'].map((alg) => `${encode({ typ: 'JWT', alg })}.${encode(claims)}.`);
const encode = (value) => encoding.b64encode(JSON.stringify(value), 'rawurl');
const claims = { iss: 'https://id.shop.example/', aud: 'shop-bff', sub: 'mallory', roles: ['viewer'], exp: 4102444800 };

function bad() {
  const [head, payload, signature] = TOKENS[Math.floor(Math.random() * TOKENS.length)].split('.');
  const kinds = [
    `${head}.${payload}.${signature.split('').reverse().join('')}`,
    `${head}.${encode(claims)}.${signature}`,
    `${head}.${payload}.`,
    `${head}.${payload}`,
    'x'.repeat(200),
    ...unsigned(claims),
  ];
  return kinds[Math.floor(Math.random() * kinds.length)];
}

function products(token) {
  const answer = http.get(`${BASE}/api/v1/products`, { headers: { Authorization: `Bearer ${token}` } });
  record(answer, SECONDS);
  return answer;
}

export function well_behaved() {
  // Every third token is a partner's, whose limit is far away; the first partner is the one who goes over it below.
  const partner = 5 + 3 * Math.floor((Math.random() * (TOKENS.length - 5)) / 3);
  check(products(TOKENS[partner]), { 'the well-behaved are served': ({ status }) => status === 200 });
}

export function bad_tokens() {
  check(products(bad()), {
    'a bad token is refused': ({ status }) => status === 401 || status === 400,
    'and the refusal does not say more than it should': ({ body }) => !/signature|key|panic|rust/i.test(body),
  });
}

export function over_the_limit() {
  check(products(TOKENS[0]), { 'is answered or told to wait': ({ status, headers }) => status === 200 || (status === 429 && +headers['Retry-After'] >= 1) });
}

export const handleSummary = (data) => summarise('abuse', SECONDS, data);
