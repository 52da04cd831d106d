// What is shown of an answer, a part of the page each.

const STATES = { ok: "Serving", degraded: "Serving", down: "Down", draining: "Draining", gone: "No answer", waiting: "Asking the gateway" };
const headline = (state, words) => {
  mark($("state"), "data-state", state);
  mark(document.body, "data-state", state);
  if ($("state-words").textContent !== words) {
    put($("state-words"), words);
    say(words);
  }
};

/** What the gateway says is not as it should be, and what it would say nothing of, since it has come to terms with it. */
const troubles = (numbers) => {
  const { status } = numbers;
  const found = [...status.reasons];
  for (const [name, upstream] of Object.entries(status.upstreams)) {
    if (!upstream.alive) continue;
    for (const state of ["unhealthy", "ejected"]) {
      const count = numbers.counters.upstreams[name]?.states[state] ?? 0;
      if (count) found.push(`${many(count, "endpoint", "endpoints")} of upstream \`${name}\` ${count === 1 ? "is" : "are"} ${state}`);
    }
  }
  for (const [file, end] of Object.entries(numbers.certificates)) {
    const left = end - numbers.now_ms / 1000;
    if (left < SOON) found.push(left > 0 ? `the certificate ${file} ends in ${span(left)}` : `the certificate ${file} has ended`);
  }
  return found;
};

const showHead = (numbers, all) => {
  const { status } = numbers;
  const found = troubles(numbers);
  const reasons = found.length;
  const state = status.status === "ok" && reasons ? "degraded" : status.status;
  const attention = `${many(reasons, "thing needs", "things need")} attention`;
  headline(state, `${STATES[state] ?? state}${reasons ? `, ${attention}` : ""}`);
  put($("config"), status.config);
  put($("since"), `since ${clock(numbers.counters.config_since_ms)}`);
  put($("uptime"), span(numbers.uptime_ms / 1000));
  put($("version"), status.version);
  put($("now"), clock(numbers.now_ms));
  document.title = `${reasons ? `▲ ${reasons} · ` : ""}${rate(all.rate)}/s · Frontgate ${location.host}`;
  $("attention").hidden = reasons === 0;
  list($("reasons"), found, (reason) => reason, () => make("li"), tell);
};

const showOverview = (numbers, all) => {
  put($("all-rate"), rate(all.rate));
  put($("all-failed"), share(all.failed));
  put($("all-failed-rate"), all.failedRate ? `${rate(all.failedRate)}/s` : "");
  $("all-failed").className = level(all.failed).replace("zero", "");
  put($("all-refused"), share(all.refused));
  put($("all-refused-rate"), all.refusedRate ? `${rate(all.refusedRate)}/s` : "");
  put($("all-p50"), time(all.p50));
  put($("all-p99"), time(all.p99));
  put($("all-overhead"), time(all.own));
  put($("in-flight"), whole.format(numbers.status.requests_in_flight));
  put($("connections"), whole.format(sum(numbers.counters.listeners.map((listener) => listener.connections))));
  const line = page.lines.get(ALL) ?? [];
  const top = most(line);
  mark($("traffic-line"), "d", drawn(line, (point) => point.all, top, 300, 60, false));
  mark($("traffic-area"), "d", drawn(line, (point) => point.all, top, 300, 60, true));
  mark($("traffic-failed"), "d", drawn(line, (point) => point.failed, top, 300, 60, true));
  put($("traffic-most"), top ? `at most ${rate(top)}/s in the last minute` : "");
};

const routeRow = () => {
  const node = row("wide", "num", "wide", "num", "num middle", "num middle", "num", "num wide")();
  node.line = picture("svg");
  node.line.setAttribute("class", "trend");
  node.line.setAttribute("viewBox", "0 0 120 20");
  node.line.setAttribute("preserveAspectRatio", "none");
  node.line.setAttribute("aria-hidden", "true");
  node.path = picture("path");
  node.line.append(node.path);
  node.parts[2].append(node.line);
  return node;
};
const fillRoute = (node, { name, written, traffic }) => {
  put(node.main, name === "_none" ? "no route" : name);
  put(node.small, name === "_none" ? "what no route takes" : written ? `${written.host ?? ""}${written.path}` : "");
  const [to, requests, , failed, refused, p50, p99, total] = node.parts;
  put(to, written ? written.to.join(", ") : "");
  figure(requests, rate(traffic.rate), traffic.rate ? "" : "zero");
  const line = page.lines.get(name) ?? [];
  mark(node.path, "d", drawn(line, (point) => point.all, most(line), 120, 20, false));
  figure(failed, share(traffic.failed), level(traffic.failed));
  figure(refused, share(traffic.refused), traffic.refused ? "" : "zero");
  figure(p50, time(traffic.p50), traffic.p50 === null ? "zero" : "");
  figure(p99, time(traffic.p99), traffic.p99 === null ? "zero" : "");
  figure(total, whole.format(traffic.total), "");
};
const showRoutes = (numbers, traffics) => {
  const wanted = $("filter").value.trim().toLowerCase();
  let all = numbers.counters.routes.map(({ name }) => ({ name, written: numbers.written[name], traffic: traffics.get(name) }));
  if (wanted) all = all.filter(({ name, written }) => `${name} ${written?.host ?? ""}${written?.path ?? ""}`.toLowerCase().includes(wanted));
  const names = new Set(all.map(({ name }) => name));
  const isNew = names.size !== page.order.length || page.order.some((name) => !names.has(name));
  // Before the second answer there is nothing to go by.
  if (isNew || page.samples.length < 4 || performance.now() - page.orderedAt > SETTLED) {
    const { by, down } = page.sort;
    const of = (route) => by === "name" ? route.name : route.traffic[by] ?? -1;
    const compare = (a, b) => (of(a) < of(b) ? -1 : of(a) > of(b) ? 1 : 0) * (down ? -1 : 1) || (a.name < b.name ? -1 : 1);
    page.order = all.sort(compare).map(({ name }) => name);
    page.orderedAt = performance.now();
  }
  const byName = keyed(all, ({ name }) => name);
  list($("routes"), page.order.map((name) => byName.get(name)), ({ name }) => name, routeRow, fillRoute);
  const left = numbers.counters.routes_left_out;
  page.truncated ||= left > 0;
  const notes = [many(names.size, "route", "routes")];
  if (left) notes.push(`${whole.format(left)} with fewer requests are not shown: find them by name`);
  if (numbers.quiet_routes) notes.push(`${whole.format(numbers.quiet_routes)} had no request yet`);
  put($("routes-note"), notes.join(" · "));
};

const fillEndpoint = (node, endpoint) => {
  mark(node, "data-state", endpoint.state);
  if (!node.text) {
    const shape = make("span", "mark");
    shape.setAttribute("aria-hidden", "true");
    node.text = make("b");
    node.text.className = "address";
    node.more = make("span");
    node.error = make("span", "error");
    node.append(shape, node.text, node.more, node.error);
  }
  put(node.text, endpoint.name ? `${endpoint.name} (${endpoint.address})` : endpoint.address);
  const words = [];
  if (endpoint.version) words.push(endpoint.version);
  if (endpoint.weight !== 1) words.push(`weight ${endpoint.weight}${endpoint.weighed_by_hand ? " by hand" : ""}`);
  if (endpoint.state !== "healthy") {
    words.push(endpoint.state === "drained" ? "drained by hand" : endpoint.state);
    const left = endpoint.ejected_for_ms ?? endpoint.drained_for_ms;
    if (left) words.push(`for ${span(Math.ceil(left / 1000))}`);
  } else if (endpoint.in_flight) words.push(`${endpoint.in_flight} in flight`);
  put(node.more, words.join(" "));
  put(node.error, endpoint.last_error ? `last error: ${endpoint.last_error}, ${ago(endpoint.last_error_ms_ago ?? 0)}` : "");
};
/** Those that take no requests, and a few of those that do: first those of which an error is known. */
const endpointsShown = (endpoints) => {
  const away = endpoints.filter(({ state }) => state !== "healthy");
  const healthy = endpoints.filter(({ state }) => state === "healthy");
  const failed = healthy.filter(({ last_error }) => last_error);
  // In their order: an error moves nobody.
  const chosen = new Set([...failed, ...healthy.filter(({ last_error }) => !last_error)].slice(0, Math.max(4, 12 - away.length)));
  return [...away, ...healthy.filter((endpoint) => chosen.has(endpoint))];
};
const upstreamRow = () => {
  const node = row("", "num", "num", "num", "num middle", "num", "num middle")();
  node.summary = make("div");
  node.endpoints = make("ul", "endpoints");
  node.parts[0].append(node.summary, node.endpoints);
  return node;
};
const showUpstreams = (numbers, before, seconds) => {
  const all = Object.entries(numbers.status.upstreams).sort(([a], [b]) => a < b ? -1 : 1);
  $("upstreams-part").hidden = all.length === 0;
  const away = all.filter(([, upstream]) => !upstream.alive).length;
  put($("upstreams-note"), `${many(all.length, "upstream", "upstreams")}${away ? `, ${whole.format(away)} without an endpoint that takes requests` : ""}`);
  list($("upstreams"), all, ([name]) => name, upstreamRow, (node, [name, upstream]) => {
    put(node.main, name);
    const sources = (upstream.discovery?.sources ?? []).filter(({ state }) => state !== "current");
    put(node.small, [upstream.required ? "required" : "", ...sources.map(({ source, state }) => `${source}: ${state}`)].filter(Boolean).join(" · "));
    const counted = numbers.counters.upstreams[name];
    const states = counted?.states ?? {};
    const words = Object.entries(states).filter(([, count]) => count > 0).map(([state, count]) => `${count} ${state}`);
    stateOf(node.summary, upstream.alive ? (words.length > 1 ? "degraded" : "ok") : "down", words.join(", ") || "no endpoints");
    const shown = endpointsShown(upstream.endpoints);
    const more = upstream.endpoints.length - shown.length + (numbers.endpoints_left_out[name] ?? 0);
    list(node.endpoints, shown, ({ address }) => address, () => make("li"), fillEndpoint);
    node.rest ??= make("small");
    put(node.rest, more ? `and ${whole.format(more)} more` : "");
    if (!node.rest.parentNode) node.parts[0].append(node.rest);
    const [, attempts, unanswered, failed, p50, p99, flight] = node.parts;
    const old = before.upstreams.get(name);
    const results = Object.entries(counted?.attempts ?? {}).map(([result, count]) => [result, grown(count, old?.attempts[result])]);
    const tries = sum(results.map(([, count]) => count));
    const lost = sum(results.filter(([result]) => result !== "ok").map(([, count]) => count));
    const counts = counted ? grownAll(counted.durations.counts, old?.durations.counts) : [];
    const bad = grown(counted?.failed_answers ?? 0, old?.failed_answers);
    figure(attempts, seconds > 0 ? rate(tries / seconds) : NOTHING, tries ? "" : "zero");
    for (const [cell, count] of [[unanswered, lost], [failed, bad]]) {
      // An answer is counted when it begins, and its attempt when that has ended.
      const ratio = seconds > 0 && tries ? Math.min(1, count / tries) : null;
      figure(cell, share(ratio), level(ratio));
    }
    const [half, nearly] = [0.5, 0.99].map((quantile) => seconds > 0 ? percentile(counts, numbers.counters.bounds, quantile) : null);
    figure(p50, time(half), half === null ? "zero" : "");
    figure(p99, time(nearly), nearly === null ? "zero" : "");
    figure(flight, whole.format(upstream.in_flight), upstream.in_flight ? "" : "zero");
  });
};

const showCircuits = (numbers, before, seconds) => {
  const { circuits } = numbers.status;
  $("circuits-part").hidden = circuits.length === 0;
  const rank = { open: 0, half_open: 1, closed: 2 };
  const all = [...circuits].sort((a, b) => rank[a.state] - rank[b.state]);
  list($("circuits"), all, ({ filter, upstream }) => JSON.stringify([filter, upstream]), row("", "num"), (node, circuit) => {
    put(node.main, circuit.filter);
    put(node.small, `before ${circuit.upstream}`);
    const words = [circuit.state.replace("_", "-")];
    if (circuit.open_for_ms) words.push(`for ${span(Math.ceil(circuit.open_for_ms / 1000))} more`);
    if (circuit.forced) words.push(`held by an operator${circuit.forced_for_ms ? ` for ${span(Math.ceil(circuit.forced_for_ms / 1000))}` : ""}`);
    stateOf(node.parts[0], circuit.state, words.join(", "));
    const slow = circuit.slow ? `, ${whole.format(circuit.slow)} slow` : "";
    figure(node.parts[1], `${whole.format(circuit.failures)} of ${whole.format(circuit.requests)}${slow}`, circuit.failures ? "" : "zero");
  });
  const fallbacks = numbers.counters.fallbacks.filter(({ count }) => count > 0).map(({ filter, kind, count }) => {
    const recent = grown(count, before.fallbacks.get(JSON.stringify([filter, kind]))?.count);
    return `${filter}: ${kind} ${whole.format(count)}${seconds > 0 && recent ? ` (${rate(recent / seconds)}/s)` : ""}`;
  });
  put($("fallbacks"), fallbacks.length ? `Fallbacks: ${fallbacks.join(" · ")}` : "");
};

const showLimits = (numbers, before, seconds) => {
  const { limits } = numbers.counters;
  $("limits-part").hidden = limits.length === 0;
  const all = [...limits].sort((a, b) => b.refused - a.refused);
  list($("limits"), all, ({ filter, tier }) => JSON.stringify([filter, tier]), row("num", "num", "num"), (node, limit) => {
    put(node.main, limit.filter);
    put(node.small, limit.tier === "_none" ? "" : `tier ${limit.tier}`);
    const old = before.limits.get(JSON.stringify([limit.filter, limit.tier]));
    const [passed, refused] = [grown(limit.allowed, old?.allowed), grown(limit.refused, old?.refused)];
    figure(node.parts[0], seconds > 0 ? rate(passed / seconds) : NOTHING, passed ? "" : "zero");
    figure(node.parts[1], seconds > 0 ? rate(refused / seconds) : NOTHING, refused ? "warn" : "zero");
    figure(node.parts[2], whole.format(limit.refused), limit.refused ? "" : "zero");
  });
  $("limited-title").hidden = numbers.limited.length === 0;
  list($("limited"), numbers.limited, ({ filter, tier, key }) => JSON.stringify([filter, tier, key]), line, (node, key) => {
    put(node.code, key.key);
    put(node.words, `${many(key.refused, "time", "times")} by ${key.filter}${key.tier ? ` (${key.tier})` : ""}, ${ago(key.last_ms_ago)}`);
  });
};
const line = () => {
  const node = make("li");
  node.code = make("code");
  node.words = make("small");
  node.append(node.code, node.words);
  return node;
};

const showVersions = (numbers, before, seconds) => {
  const versions = (numbers.status.canaries ?? []).map((version) => {
    const old = before.versions.get(JSON.stringify([version.route, version.version]));
    return { ...version, recent: grown(version.answered, old?.answered), lost: grown(version.failed, old?.failed) };
  });
  $("versions-part").hidden = versions.length === 0;
  const left = numbers.canaries_left_out;
  put($("versions-note"), left ? `${many(left, "version is", "versions are")} not shown` : "");
  const ofRoute = new Map();
  for (const { route, recent } of versions) ofRoute.set(route, (ofRoute.get(route) ?? 0) + recent);
  list($("versions"), versions, ({ route, version }) => JSON.stringify([route, version]), row("num", "num", "num", "num"), (node, version) => {
    put(node.main, version.version);
    const written = version.share ? `share ${version.share.replace("%", " %")} as written` : "";
    const unused = version.answered || version.spilled ? "" : "no request yet";
    put(node.small, [version.route, written, unused].filter(Boolean).join(" · "));
    const all = ofRoute.get(version.route);
    const ratio = seconds > 0 && version.recent ? version.lost / version.recent : null;
    figure(node.parts[0], seconds > 0 && all ? share(version.recent / all) : NOTHING, all && version.recent ? "" : "zero");
    figure(node.parts[1], seconds > 0 ? rate(version.recent / seconds) : NOTHING, version.recent ? "" : "zero");
    figure(node.parts[2], share(ratio), level(ratio));
    figure(node.parts[3], whole.format(version.spilled), version.spilled ? "warn" : "zero");
  });
};

const showTrimmed = (numbers, before, seconds) => {
  const { trimmed } = numbers.counters;
  $("trimmed-part").hidden = trimmed.length === 0;
  list($("trimmed"), trimmed, ({ route, profile }) => JSON.stringify([route, profile]), row("num", "num", "num", "num"), (node, trim) => {
    put(node.main, trim.route);
    put(node.small, trim.profile === "_none" ? "" : trim.profile);
    const old = before.trimmed.get(JSON.stringify([trim.route, trim.profile]));
    const [came, left] = [grown(trim.input, old?.input), grown(trim.output, old?.output)];
    figure(node.parts[0], seconds > 0 ? `${bytes(came / seconds)}/s` : NOTHING, came ? "" : "zero");
    figure(node.parts[1], seconds > 0 ? `${bytes(left / seconds)}/s` : NOTHING, left ? "" : "zero");
    figure(node.parts[2], seconds > 0 && came ? share((came - left) / came) : NOTHING, came ? "" : "zero");
    figure(node.parts[3], bytes(trim.input - trim.output), "");
  });
};

const showRest = (numbers) => {
  const { listeners } = numbers.counters;
  list($("listeners"), listeners, ({ address }) => address, row("num", "num", "num"), (node, listener) => {
    put(node.main, listener.address);
    figure(node.parts[0], whole.format(listener.connections), listener.connections ? "" : "zero");
    figure(node.parts[1], whole.format(listener.requests), listener.requests ? "" : "zero");
    figure(node.parts[2], whole.format(listener.refused), listener.refused ? "" : "zero");
  });
  const secrets = Object.entries(numbers.certificates).map(([name, end]) => {
    const left = end - numbers.now_ms / 1000;
    return { name, words: left > 0 ? `ends in ${span(left)}` : "has ended", level: left < SOON ? "bad" : left < 30 * 86400 ? "warn" : "" };
  }).concat(Object.entries(numbers.status.key_sets).map(([name, { age_seconds }]) => (
    { name, words: `keys are ${span(age_seconds)} old`, level: "" }
  )));
  $("secrets-part").hidden = secrets.length === 0;
  list($("secrets"), secrets, ({ name }) => name, line, (node, secret) => {
    put(node.code, secret.name);
    put(node.words, secret.words);
    node.words.className = secret.level;
  });
  list($("reloads"), numbers.reloads, ({ at_ms, config, why }) => JSON.stringify([at_ms, config, why]), () => {
    const node = line();
    node.prepend(node.at = make("span"), " ");
    return node;
  }, (node, reload) => {
    put(node.at, clock(reload.at_ms));
    put(node.code, reload.config ?? "refused");
    node.code.className = reload.config ? "" : "bad";
    const by = [reload.how && reload.how !== "start" ? `by ${reload.how}` : "", reload.who ? `(${reload.who})` : ""].filter(Boolean).join(" ");
    tell(node.words, reload.why ?? `${reload.changed.join(", ") || "nothing has changed"}${by ? `, ${by}` : ""}`);
  });
};

const ALL = "";
const show = () => {
  const numbers = page.latest;
  if (!numbers) return;
  const now = page.samples[page.samples.length - 1];
  const before = base(Number($("window").value));
  const seconds = (now.at - before.at) / 1000;
  const { bounds } = numbers.counters;
  const all = trafficOf(now.all, before.all, seconds, bounds);
  const traffics = new Map(numbers.counters.routes.map((route) => [route.name, trafficOf(route, before.routes.get(route.name), seconds, bounds)]));
  showHead(numbers, all);
  showOverview(numbers, all);
  showRoutes(numbers, traffics);
  showUpstreams(numbers, before, seconds);
  showCircuits(numbers, before, seconds);
  showLimits(numbers, before, seconds);
  showVersions(numbers, before, seconds);
  showTrimmed(numbers, before, seconds);
  showSagas(numbers);
  showRest(numbers);
  $("ask").hidden = true;
  $("numbers").hidden = false;
};
