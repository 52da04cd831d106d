// Asking the gateway again and again, one answer at a time, and what is shown where none comes.

const take = (numbers) => {
  if (page.latest && page.latest.started_ms !== numbers.started_ms) {
    // Another process, which counts anew.
    page.samples = [];
    page.lines = new Map();
  }
  const sample = sampleOf(numbers);
  const last = page.samples[page.samples.length - 1];
  if (last && sample.at > last.at) {
    const seconds = (sample.at - last.at) / 1000;
    trace(ALL, sample.all, last.all, seconds);
    for (const [name, route] of sample.routes) trace(name, route, last.routes.get(name), seconds);
    for (const name of page.lines.keys()) if (name !== ALL && !sample.routes.has(name)) page.lines.delete(name);
  }
  keep(sample);
  page.latest = numbers;
  page.lastTime = numbers.now_ms;
  page.goneSince = null;
  page.failures = 0;
  $("gone").hidden = true;
  show();
};

const isGone = (words) => {
  page.goneSince ??= performance.now();
  page.failures += 1;
  const asOf = page.lastTime ? ` The numbers are those of ${clock(page.lastTime)}.` : "";
  put($("gone"), `${words} for ${span(Math.floor((performance.now() - page.goneSince) / 1000))}.${asOf} It is asked again and again.`);
  $("gone").hidden = false;
  headline("gone", STATES.gone);
  document.title = `✕ no answer · Frontgate ${location.host}`;
};

const askForToken = (words) => {
  page.token = null;
  put($("ask-wrong"), words);
  $("numbers").hidden = true;
  $("gone").hidden = true;
  if ($("ask").hidden) {
    $("ask").hidden = false;
    $("token").focus();
  }
  headline("waiting", "The token is needed");
};

const poll = async () => {
  clearTimeout(page.timer);
  if (page.asking) return;
  page.asking = true;
  const began = performance.now();
  const ending = new AbortController();
  const limit = setTimeout(() => ending.abort(), PATIENCE);
  let goesOn = true;
  try {
    const wanted = page.truncated ? `?match=${encodeURIComponent($("filter").value.trim())}` : "";
    const headers = page.token === null ? {} : { Authorization: `Bearer ${page.token}` };
    const options = { headers, cache: "no-store", credentials: "omit", redirect: "error", signal: ending.signal };
    const answer = await fetch(`/-/dashboard${wanted}`, options);
    if (answer.status === 401) {
      goesOn = false;
      askForToken(page.token === null ? "" : "It is another one.");
    } else if (answer.ok) take(await answer.json());
    else isGone(`The gateway has answered ${answer.status}`);
  } catch {
    isGone("The gateway has not answered");
  } finally {
    clearTimeout(limit);
    page.asking = false;
  }
  // An answer that took long is not asked for as often.
  if (goesOn) later(Math.max(PACE, 4 * (performance.now() - began)) - (performance.now() - began));
};
const later = (delay) => {
  clearTimeout(page.timer);
  if (!page.paused && !document.hidden) page.timer = setTimeout(poll, Math.min(delay, 10 * PACE));
};
