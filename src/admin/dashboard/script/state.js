// What the page knows: how often it asks, what was answered, how it is sorted.

/** How long between two answers, and how long one may take, in milliseconds. */
const PACE = 1000;
const PATIENCE = 5000;
/** How often the rows are put in another order, so that they can be read. */
const SETTLED = 10000;
/** How many points a line has, one for each answer. */
const POINTS = 60;
/** Answers that are younger than this are all kept, in milliseconds of the gateway's clock; of older ones one in SPARSE. */
const DENSE = 15000;
const SPARSE = 5000;
const OLDEST = 310000;
/** When the end of a certificate is near, in seconds. */
const SOON = 7 * 86400;

const $ = (id) => document.getElementById(id);
const page = {
  token: null, paused: false, asking: false, timer: 0, failures: 0, lastTime: null, goneSince: null,
  samples: [], latest: null, lines: new Map(), truncated: false, order: [], orderedAt: 0, sort: { by: "rate", down: true },
};
