// Sagas: how many are open on each route, and those that need an operator.

const openOf = (open) => {
  const routes = new Map();
  for (const { route, state, count } of open) {
    if (!routes.has(route)) routes.set(route, { route, running: 0, undoing: 0, stuck: 0 });
    routes.get(route)[state] += count;
  }
  return [...routes.values()];
};
const sagaLine = () => {
  const node = make("li");
  node.code = make("code");
  node.words = make("small");
  node.append(node.code, node.words);
  return node;
};
const showSagas = (numbers) => {
  const { sagas } = numbers.status;
  $("sagas-part").hidden = !sagas;
  if (!sagas) return;
  const routes = openOf(sagas.open);
  const why = sagas.why ? `: ${sagas.why}` : "";
  put($("sagas-note"), sagas.journal !== "open" ? `The journal is ${sagas.journal}${why}` : routes.length ? "" : "None is open.");
  $("sagas-open").hidden = routes.length === 0;
  list($("sagas"), routes, ({ route }) => route, row("num", "num", "num"), (node, open) => {
    put(node.main, open.route);
    figure(node.parts[0], whole.format(open.running), open.running ? "" : "zero");
    figure(node.parts[1], whole.format(open.undoing), open.undoing ? "warn" : "zero");
    figure(node.parts[2], whole.format(open.stuck), open.stuck ? "bad" : "zero");
  });
  $("stuck-title").hidden = numbers.stuck_sagas.length === 0;
  list($("stuck"), numbers.stuck_sagas, ({ id }) => id, sagaLine, (node, saga) => {
    put(node.code, saga.id);
    const step = saga.step ? ` at ${saga.step}` : "";
    put(node.words, `${saga.route}${step}, for ${span(Math.floor(saga.unchanged_ms / 1000))}${saga.trouble ? `: ${saga.trouble}` : ""}`);
  });
  const left = sum(routes.map(({ stuck }) => stuck)) - numbers.stuck_sagas.length;
  put($("stuck-more"), left > 0 && numbers.stuck_sagas.length ? `and ${whole.format(left)} more: frontgate saga list --state stuck` : "");
};
