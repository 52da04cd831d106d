// What the reader does: the token, pausing, searching, sorting, the theme.

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  // A header has only these; no token has others.
  const typed = $("token").value.trim();
  $("token").value = "";
  if (!/^[\x21-\x7e]+( [\x21-\x7e]+)*$/.test(typed)) return put($("ask-wrong"), "It is another one.");
  page.token = typed;
  poll();
});
$("pause").addEventListener("click", () => {
  page.paused = !page.paused;
  mark($("pause"), "aria-pressed", String(page.paused));
  if (page.paused) clearTimeout(page.timer); else if ($("ask").hidden) poll();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(page.timer); else if (!page.paused && $("ask").hidden) poll();
});
$("window").addEventListener("change", show);
$("filter").addEventListener("input", show);
for (const button of document.querySelectorAll("[data-sort]")) {
  button.addEventListener("click", () => {
    const by = button.dataset.sort;
    page.sort = { by, down: page.sort.by === by ? !page.sort.down : by !== "name" };
    for (const other of document.querySelectorAll("[data-sort]")) {
      const is = other.dataset.sort === by;
      mark(other.closest("th"), "aria-sort", is ? (page.sort.down ? "descending" : "ascending") : "none");
    }
    page.orderedAt = -Infinity;
    show();
  });
}

/** The theme alone is kept in the browser, where it keeps anything. */
const THEMES = ["auto", "dark", "light"];
const setTheme = (theme) => {
  if (theme === "auto") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = theme;
  put($("theme"), `Theme: ${theme}`);
};
const kept = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
let theme = THEMES.includes(kept()) ? kept() : "auto";
setTheme(theme);
$("theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  setTheme(theme);
  try { localStorage.setItem("theme", theme); } catch { /* It is forgotten with the page. */ }
});

poll();
