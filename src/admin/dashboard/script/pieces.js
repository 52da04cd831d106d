// The page's own pieces: elements that change only where what they show has changed. Whatever comes from outside is put in as text.

/** Changes a text only where it is another one: what has not changed is neither drawn nor read out again. */
const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const mark = (node, name, value) => { if (node.getAttribute(name) !== value) node.setAttribute(name, value); };
const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};
/** The same for a sentence with names between backticks. */
const tell = (node, text) => {
  if (node.told === text) return;
  node.told = text;
  node.replaceChildren(...text.split("`").map((part, at) => at % 2 ? make("code", "", part) : part));
};
const picture = (tag) => document.createElementNS("http://www.w3.org/2000/svg", tag);

/** Brings the children of a node in line with a list: each keeps its element for as long as its key is in it. */
const list = (parent, items, key, create, fill) => {
  const known = parent.known ??= new Map();
  const gone = new Set(known.keys());
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let node = known.get(name);
    if (!node) known.set(name, node = create(item));
    gone.delete(name);
    fill(node, item);
    if (node === place) place = place.nextElementSibling; else parent.insertBefore(node, place);
  }
  for (const name of gone) { known.get(name).remove(); known.delete(name); }
};

/** A row of a table: its head, then cells of these classes. */
const row = (...classes) => () => {
  const node = make("tr");
  node.head = make("th");
  node.head.scope = "row";
  node.main = make("span");
  node.small = make("small");
  node.head.append(node.main, node.small);
  node.parts = classes.map((className) => make("td", className));
  node.append(node.head, ...node.parts);
  return node;
};
const figure = (cell, text, level) => {
  put(cell, text);
  cell.base ??= cell.className;
  const name = level ? `${cell.base} ${level}` : cell.base;
  if (cell.className !== name) cell.className = name;
};
/** How bad a share of failures is. */
const level = (value) => value === null || value === 0 ? "zero" : value >= 0.05 ? "bad" : value >= 0.01 ? "warn" : "";
const stateOf = (cell, state, words) => {
  if (!cell.word) {
    cell.word = make("span", "state-word");
    const shape = make("span", "mark");
    shape.setAttribute("aria-hidden", "true");
    cell.text = make("span");
    cell.word.append(shape, cell.text);
    cell.append(cell.word);
  }
  mark(cell.word, "data-state", state);
  put(cell.text, words);
};
const say = (words) => put($("said"), words);
