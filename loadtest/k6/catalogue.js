// Phones, browsers and televisions ask for the catalogue; each must get its own fields.
import http from 'k6/http';
import { check } from 'k6';
import { record, summarise, summaryTrendStats as stats } from './lib/report.js';
import { BASE, DROPPED, P99, SECONDS, anyDevice, rising } from './lib/traffic.js';

export const options = {
  scenarios: {
    // A third of the time the rate climbs, then it stays.
    catalogue: rising('catalogue'),
  },
  thresholds: { http_req_duration: [`p(99)<${P99}`], dropped_iterations: DROPPED, checks: ['rate>0.999'] },
  summaryTrendStats: stats,
};

export function catalogue() {
  const { device, agent } = anyDevice();
  const answer = http.get(`${BASE}/api/v1/catalogue`, { headers: { 'User-Agent': agent } });
  record(answer, SECONDS);
  check(answer, {
    'is 200': ({ status }) => status === 200,
    'has the fields of its device': ({ body }) => {
      const item = JSON.parse(body).items[0];
      if (device === 'desktop') return item.debug !== undefined && item.images.hd !== undefined;
      if (device === 'smart_tv') return item.debug === undefined && item.images.hd === undefined && item.stock !== undefined;
      return item.stock === undefined && item.images.hd === undefined && item.images.thumb !== undefined;
    },
    'names its version': ({ headers }) => headers['X-Bff-Version'] !== undefined,
  });
}

export const handleSummary = (data) => summarise('catalogue', SECONDS, data);
