// Sorts and filters tables, switches between light and dark, and marks where one is. Nothing here is needed to read.
"use strict";

// ---- light and dark: the reader's system decides until the button is pressed
{
  const root = document.documentElement, stored = "fer-theme";
  const remembered = () => { try { return localStorage.getItem(stored); } catch { return null; } };
  const remember = (theme) => { try { localStorage.setItem(stored, theme); } catch { /* a page from a file may not */ } };
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const button = document.createElement("button");
  const name = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();
  button.id = "theme";
  button.type = "button";
  button.title = "Switch between light and dark";
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; remember(root.dataset.theme); name(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();
  document.querySelector("nav").prepend(button);
}

// ---- tables: a click on a head sorts, up, down and as it was, a line of totals staying last; long ones have a filter
// A cell's number is the one that it begins with; "–" and empty cells stand last either way.
const key = (row, column) => {
  const text = row.cells[column].textContent.trim();
  const number = text.replaceAll(",", "").replace("−", "-").match(/^[-+]?\d+(\.\d+)?/);
  return { empty: text === "" || text === "–", number: number ? Number(number[0]) : null, text };
};
const compare = (a, b) => a.number !== null && b.number !== null ? a.number - b.number : a.text.localeCompare(b.text, "en", { numeric: true });

for (const table of document.querySelectorAll("main table")) {
  const body = table.tBodies[0];
  if (!table.tHead || !body || body.rows.length < 2) continue;
  const all = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const totals = all.filter((row) => row.cells[0].textContent.trim() === "All"), rows = all.filter((row) => !totals.includes(row));
  heads.forEach((head, column) => {
    if (head.textContent === "Why") return; // a fold, nothing to sort by
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")] ?? "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (next !== "none") head.setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1;
      const sorted = next === "none" ? rows : rows.map((row) => [key(row, column), row])
        .sort(([a], [b]) => a.empty - b.empty || sign * compare(a, b)).map(([, row]) => row);
      body.append(...sorted, ...totals);
    });
  });
  if (rows.length >= 12) addFilter(table, rows);
}

// Rows hold all the words of the field, and one of the pressed verdicts, and are about one of the pressed subjects. The
// first subject, what the papers found themselves, is pressed to begin with.
function addFilter(table, rows) {
  const tools = document.createElement("div"), input = document.createElement("input"), count = document.createElement("span");
  const groups = [(row) => row.dataset.about ?? "", (row) => row.querySelector(".verdict")?.textContent ?? ""]
    .map((of) => ({ of, chosen: new Set(), buttons: new Map() }));
  const fits = (row, but) => groups.every((group) => group === but || group.chosen.size === 0 || group.chosen.has(group.of(row)));
  const show = () => {
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const holding = rows.filter((row) => wanted.every((word) => row.textContent.toLowerCase().includes(word)));
    rows.forEach((row) => { row.hidden = true; });
    holding.filter((row) => fits(row)).forEach((row) => { row.hidden = false; });
    for (const group of groups) {
      for (const [word, button] of group.buttons) {
        button.textContent = `${word} (${holding.filter((row) => fits(row, group) && group.of(row) === word).length})`;
        button.setAttribute("aria-pressed", String(group.chosen.has(word)));
      }
    }
    count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
  };
  tools.className = "tools";
  input.type = "search";
  input.placeholder = "Filter: words that a row holds";
  input.setAttribute("aria-label", "Filter the table by words");
  input.addEventListener("input", show);
  count.setAttribute("role", "status");
  tools.append(input);
  for (const group of groups) {
    for (const word of new Set(rows.map(group.of))) {
      if (!word) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.addEventListener("click", () => { group.chosen.delete(word) || group.chosen.add(word); show(); });
      group.buttons.set(word, button);
      tools.append(button);
    }
  }
  const all = document.createElement("button");
  all.type = "button";
  all.textContent = "all";
  all.addEventListener("click", () => { groups.forEach((group) => group.chosen.clear()); input.value = ""; show(); });
  if (groups.some((group) => group.buttons.size)) tools.append(all);
  const [first] = groups[0].buttons.keys();
  if (first) groups[0].chosen.add(first);
  tools.append(count);
  (table.closest(".scroll") ?? table).before(tools);
  show();
  // A link to a row that is filtered out shows all rows.
  const reach = () => {
    const row = rows.find((row) => row.id && `#${row.id}` === location.hash);
    if (!row) return;
    groups.forEach((group) => group.chosen.clear());
    input.value = "";
    show();
    row.querySelector("details").open = true;
    row.scrollIntoView();
  };
  addEventListener("hashchange", reach);
  reach();
}

// ---- contents: the section that one reads
{
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.getAttribute("href").slice(1), link]));
  const headings = [...document.querySelectorAll("main h2, main h3")].filter((heading) => links.has(heading.id));
  const mark = () => {
    const above = headings.filter((heading) => heading.getBoundingClientRect().top < innerHeight / 3);
    const current = links.get((above.at(-1) ?? headings[0])?.id);
    for (const link of links.values()) link === current ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
  };
  addEventListener("scroll", () => requestAnimationFrame(mark), { passive: true });
  mark();
}

// ---- paper: what is folded is printed too, also where the style does not do it
{
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((details) => { details.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((details) => { details.open = false; }));
}
