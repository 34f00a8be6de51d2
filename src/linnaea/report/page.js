// What the page can do beyond showing: sort and filter tables, show a picture large, choose a class of
// pictures, find a mistake on the map. Without this script every number and picture is there all the same; the
// pictures behind a cell are popovers, which need none.
"use strict";
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];

  const valueOf = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  };

  const sortBy = (column) => {
    const head = heads[column];
    // Words begin at A; numbers with the smallest, because a weak class is what one looks for.
    const descending = head.getAttribute("aria-sort") === "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const rows = [...body.rows].map((row) => [valueOf(row, column), row]);
    const compare = ([a], [b]) =>
      typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
    rows.sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
    body.append(...rows.map(([, row]) => row));
  };

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    const put = () => {
      button.append(...head.childNodes);
      head.append(button);
    };
    put();
    button.addEventListener("click", () => sortBy(column));
    // On paper a table's head stands on each of its pages; Chromium repeats none that holds a button.
    addEventListener("beforeprint", () => button.replaceWith(...button.childNodes));
    addEventListener("afterprint", put);
  });
}

// Tables marked data-filter get a box that leaves only the rows with these words in a name.
for (const table of document.querySelectorAll("table[data-filter]")) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  const said = document.createElement("span");
  label.className = "filter";
  box.type = "search";
  said.setAttribute("role", "status");
  label.append(table.dataset.filter, box, " ", said);
  // The box stands outside a frame that scrolls sideways, or it would scroll away with the table.
  (table.closest(".scroll") ?? table).before(label);
  box.addEventListener("input", () => {
    const wanted = box.value.trim().toLowerCase();
    let left = 0;
    for (const row of table.tBodies[0].rows) {
      const names = [...row.cells].filter((cell) => cell.matches("th, .pairs td:nth-child(2)"));
      row.hidden = !names.some((cell) => cell.textContent.toLowerCase().includes(wanted));
      if (!row.hidden) left += 1;
    }
    said.textContent = wanted ? `${left} of ${table.tBodies[0].rows.length}` : "";
  });
}

// On the map of many classes, the mouse reads a mistake where it points, and opens its pictures.
for (const map of document.querySelectorAll("[data-map]")) {
  const classes = Number(map.dataset.map);
  const readout = document.createElement("p");
  readout.className = "readout";
  readout.setAttribute("aria-hidden", "true"); // the table below says the same to those who hear the page
  readout.textContent = "Point at a mistake to read it; click to see its pictures.";
  map.after(readout);

  const cellAt = (event) => {
    // The first mark of the drawing is the frame around all cells.
    const frame = event.target.closest("svg")?.querySelector(".role-mark path")?.getBoundingClientRect();
    if (!frame) return null;
    const column = ((event.clientX - frame.left) / frame.width) * classes;
    const row = ((event.clientY - frame.top) / frame.height) * classes;
    // A cell may be smaller than a fingertip: the nearest within two cells counts.
    let nearest = null;
    let least = 2;
    for (let i = Math.floor(row) - 2; i <= row + 2; i += 1) {
      for (let j = Math.floor(column) - 2; j <= column + 2; j += 1) {
        const distance = Math.hypot(i + 0.5 - row, j + 0.5 - column);
        const found = distance < least ? document.getElementById(`cell-${i}-${j}`) : null;
        if (found) [nearest, least] = [found, distance];
      }
    }
    return nearest;
  };

  map.addEventListener("pointermove", (event) => {
    const cell = cellAt(event);
    readout.textContent = cell ? cell.querySelector(".cell-title").textContent : "\u00a0";
  });
  map.addEventListener("click", (event) => cellAt(event)?.showPopover());
}

// A gallery of many pictures gets a choice of one class: what is it, or what was it taken for.
for (const gallery of document.querySelectorAll("[data-choose]")) {
  const items = [...gallery.querySelectorAll("li")];
  const names = new Set(items.flatMap((item) => [item.dataset.true, item.dataset.predicted]).filter(Boolean));
  if (names.size < 3) continue;
  const label = document.createElement("label");
  const choice = document.createElement("select");
  const said = document.createElement("span");
  label.className = "filter";
  said.setAttribute("role", "status");
  choice.append(new Option("all classes", ""));
  for (const name of [...names].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }))) {
    choice.append(new Option(name, name));
  }
  label.append(gallery.dataset.choose, choice, " ", said);
  gallery.prepend(label);
  choice.addEventListener("change", () => {
    for (const item of items) {
      item.hidden = Boolean(choice.value) && ![item.dataset.true, item.dataset.predicted].includes(choice.value);
    }
    const details = gallery.querySelector("details");
    if (details && choice.value) details.open = true;
    said.textContent = choice.value ? `${items.filter((item) => !item.hidden).length} of ${items.length}` : "";
  });
}

// A click shows a picture large, its heat map beside it, with its whole path and the way to the original.
{
  const viewer = document.createElement("dialog");
  let shown = null;

  const made = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  // The one before or after it in its list, of those that are not filtered away.
  const beside = (item, step) => {
    const list = [...item.parentElement.children].filter((other) => !other.hidden && other.querySelector("img"));
    return list[list.indexOf(item) + step] ?? null;
  };

  const copy = async (text, button) => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // Pages opened from a disk may not reach the clipboard on their own.
      const path = viewer.querySelector(".path");
      getSelection().selectAllChildren(path);
      button.textContent = document.execCommand("copy") ? "Copied" : "Selected: copy it with the keyboard";
    }
  };

  const show = (item) => {
    shown = item;
    const path = item.dataset.path;
    const pictures = [...item.querySelectorAll("img")].map((picture) => picture.cloneNode());
    const words = item.querySelector("legend") ?? item.querySelector(".named");
    const other = item.querySelector(".other");
    const said = [words, other].filter(Boolean).map((part) => part.textContent.replace(/\s+/g, " ").trim()).join(", ");
    const close = made("button", { type: "button", className: "close", textContent: "Close", onclick: () => viewer.close() });
    const turn = made("p", { className: "turn" });
    for (const [text, step] of [["← Previous", -1], ["Next →", 1]]) {
      const target = beside(item, step);
      turn.append(made("button", { type: "button", textContent: text, disabled: !target, onclick: () => show(target) }));
    }
    const button = made("button", { type: "button", textContent: "Copy the path" });
    button.addEventListener("click", () => copy(path, button));
    turn.append(button);
    if (item.dataset.original) {
      turn.append(made("a", { href: item.dataset.original, target: "_blank", textContent: "Open the original" }));
    }
    viewer.replaceChildren(
      close,
      made("p", { className: "said", textContent: said }),
      made("div", { className: "views" }, ...pictures),
      made("p", { className: "path", textContent: path }),
      turn,
    );
    if (!viewer.open) viewer.showModal();
    close.focus();
  };

  const items = [...document.querySelectorAll(".gallery > li[data-path], .issues > li")];
  for (const item of items) {
    const frame = item.querySelector(".views") ?? item.querySelector("img");
    if (!frame) continue;
    const button = made("button", { type: "button", className: "enlarge", onclick: () => show(item) });
    button.setAttribute("aria-label", `Show ${item.dataset.path} large`);
    frame.before(button);
    button.append(frame);
  }
  if (items.length) {
    viewer.className = "viewer";
    viewer.setAttribute("aria-label", "A picture, large");
    viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
    viewer.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const target = step && beside(shown, step);
      if (target) show(target);
    });
    document.body.append(viewer);
  }
}

// Beside a wide page the contents tell where one is.
{
  const links = new Map([...document.querySelectorAll("main > nav a")].map((link) => [link.hash.slice(1), link]));
  const onScreen = new Set();
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) onScreen[entry.isIntersecting ? "add" : "delete"](entry.target.id);
    const current = [...links.keys()].find((ident) => onScreen.has(ident));
    for (const [ident, link] of links) {
      if (ident === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }, { rootMargin: "-25% 0px -60% 0px" });
  for (const ident of links.keys()) watch.observe(document.getElementById(ident));
}

// A link to something that is folded away unfolds it.
for (const way of document.querySelectorAll('a[href^="#"]')) {
  const target = document.getElementById(way.hash.slice(1));
  if (target instanceof HTMLDetailsElement) way.addEventListener("click", () => (target.open = true));
}
