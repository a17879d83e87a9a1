"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const byId = (id) => document.getElementById(id);

  // Details: a link to a card opens it, and paper shows everything.
  const addressed = () => {
    try {
      return byId(decodeURIComponent(location.hash.slice(1)));
    } catch {
      return null; // an address that is no text, such as "#%"
    }
  };
  const openTarget = () => {
    const target = addressed();
    for (let box = target; box; box = box.parentElement) {
      if (box instanceof HTMLDetailsElement) box.open = true;
    }
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", openTarget);
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link && link.hash === location.hash) openTarget();
  });
  if (location.hash) openTarget();

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const box of closed) box.open = true;
  });
  addEventListener("afterprint", () => {
    for (const box of closed) box.open = false;
  });

  const cards = [...document.querySelectorAll("details.card")];
  const openAll = byId("open-all");
  openAll.addEventListener("click", () => {
    const open = !cards.every((card) => card.open);
    for (const card of cards) card.open = open;
    openAll.textContent = open ? "Close all" : "Open all";
  });

  // The table of claims.
  const table = byId("claims-table");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const rule = byId("filter-rule");
  const measure = byId("filter-measure");
  const text = byId("filter-text");
  const sortBy = byId("sort-by");
  const showAll = byId("show-all");
  const tiles = [...document.querySelectorAll(".tile")];
  const headlines = rows.filter((row) => "headline" in row.dataset).length;
  let word = "";
  let everything = headlines === 0 || headlines === rows.length;

  const matches = (row) =>
    (!word || row.dataset.word === word) &&
    (!rule.value || row.dataset.rules.split(" ").includes(rule.value)) &&
    (!measure.value || row.dataset.measure === measure.value) &&
    (!text.value || row.textContent.toLowerCase().includes(text.value.trim().toLowerCase()));

  const refresh = () => {
    const filtered = Boolean(word || rule.value || measure.value || text.value);
    const brief = !filtered && !everything;
    let shown = 0;
    for (const row of rows) {
      row.hidden = !(brief ? "headline" in row.dataset : matches(row));
      if (!row.hidden) shown += 1;
    }
    byId("shown").textContent = brief
      ? `The ${shown} headline claims of ${rows.length}.`
      : `${shown} of ${rows.length} claims.`;
    showAll.hidden = !brief;
    showAll.textContent = `Show all ${rows.length} claims`;
    for (const tile of tiles) tile.setAttribute("aria-pressed", String(tile.dataset.word === word));
  };

  const key = (row, column) => row.getAttribute(`data-sort-${column}`);
  const compare = (column, numeric) => (a, b) => {
    const x = key(a, column);
    const y = key(b, column);
    if (x === null || y === null) return (x === null) - (y === null); // what has no number is last
    return numeric ? Number(x) - Number(y) : x.localeCompare(y);
  };

  let sorted = { column: "position", down: false };
  const sort = (column, down) => {
    sorted = { column, down };
    const byPosition = (a, b) => a.dataset.position - b.dataset.position;
    const order = compare(column, column !== "claim");
    const present = rows.filter((row) => column === "position" || key(row, column) !== null);
    const absent = rows.filter((row) => !present.includes(row));
    present.sort(byPosition);
    if (column !== "position") present.sort((a, b) => (down ? -1 : 1) * order(a, b));
    body.append(...present, ...absent.sort(byPosition));
    for (const button of table.querySelectorAll("th button")) {
      const here = button.dataset.sort === column;
      button.parentElement.setAttribute(
        "aria-sort", here ? (down ? "descending" : "ascending") : "none");
    }
    sortBy.value = column;
  };

  table.tHead.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const column = button.dataset.sort;
    const again = sorted.column === column;
    if (again && sorted.down) sort("position", false);
    else sort(column, again);
    if (!everything) { everything = true; refresh(); }
  });
  sortBy.addEventListener("change", () => {
    sort(sortBy.value, false);
    everything = true;
    refresh();
  });
  for (const control of [rule, measure, text]) control.addEventListener("input", refresh);
  for (const tile of tiles) {
    tile.addEventListener("click", () => {
      word = word === tile.dataset.word ? "" : tile.dataset.word;
      refresh();
    });
  }
  showAll.addEventListener("click", () => { everything = true; refresh(); });
  byId("filter-clear").addEventListener("click", () => {
    word = rule.value = measure.value = text.value = "";
    sort("position", false);
    refresh();
  });
  addEventListener("beforeprint", () => { for (const row of rows) row.hidden = false; });
  addEventListener("afterprint", refresh);
  refresh();
})();
