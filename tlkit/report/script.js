"use strict";
// Thumbnails, the images of a cell of the confusion matrix, the map, and tables that sort. All data is in #data.
const { names = [], images = [] } = JSON.parse(document.getElementById("data").textContent);
const [NAME, LABELED, PREDICTED, CONFIDENCE, THUMBNAIL] = [0, 1, 2, 3, 4];
const MAX_SHOWN = 24; // images of a cell
const REACH = 14; // of the pointer on the map, in units of its viewBox

function element(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

function percent(fraction) {
  return `${Math.round(100 * fraction)}\u00a0%`;
}

function picture(image) {
  const frame = element("div", "frame");
  if (image[THUMBNAIL]) {
    const shown = element("img");
    shown.src = image[THUMBNAIL];
    shown.alt = image[NAME];
    frame.append(shown);
  } else {
    frame.append(element("span", "absent", "no thumbnail"));
  }
  return frame;
}

function card(image, tag, withLabel = true) {
  const made = element(tag, "card", picture(image));
  if (image[PREDICTED] >= 0) {
    const correct = image[LABELED] === image[PREDICTED];
    const name = element("bdi", "", names[image[PREDICTED]]);
    const confidence = element("span", "number", percent(image[CONFIDENCE]));
    made.append(element("p", `verdict ${correct ? "right" : "wrong"}`, name, confidence));
    if (!correct && withLabel) made.append(element("p", "small", "labeled ", element("bdi", "", names[image[LABELED]])));
  }
  made.append(element("p", "path", element("bdi", "", image[NAME])));
  return made;
}

for (const place of document.querySelectorAll("img[data-image]")) {
  const image = images[Number(place.dataset.image)];
  if (image[THUMBNAIL]) place.src = image[THUMBNAIL];
  else place.replaceWith(element("span", "absent", "no thumbnail"));
}

function setUpMatrix(matrix) {
  const words = document.getElementById("cell-words");
  const gallery = document.getElementById("cell-gallery");
  const more = document.getElementById("cell-more");
  const buttons = [...matrix.querySelectorAll("button")];
  let chosen = null;

  function describe(button) {
    words.replaceChildren(
      `${button.textContent} of ${button.dataset.total} `, element("bdi", "", names[button.dataset.true]),
      " predicted ", element("bdi", "", names[button.dataset.label]));
  }

  function choose(button) {
    chosen = button;
    for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
    const [labeled, predicted] = [Number(button.dataset.true), Number(button.dataset.label)];
    const found = images.filter((image) => image[LABELED] === labeled && image[PREDICTED] === predicted);
    found.sort((first, second) => second[CONFIDENCE] - first[CONFIDENCE]);
    const shown = found.slice(0, MAX_SHOWN);
    gallery.replaceChildren(...shown.map((image) => card(image, "li", false)));
    const hidden = Number(button.textContent) - shown.length;
    more.textContent = hidden > 0 ? `and ${hidden} more in ${matrix.dataset.table}` : "";
    describe(button);
  }

  for (const button of buttons) {
    button.addEventListener("click", () => choose(button));
    button.addEventListener("mouseenter", () => describe(button));
    button.addEventListener("focus", () => describe(button));
  }
  matrix.addEventListener("mouseleave", () => chosen && describe(chosen));
  const [labeled, predicted] = matrix.dataset.first.split(",");
  const first = buttons.find((button) => button.dataset.true === labeled && button.dataset.label === predicted);
  if (first ?? buttons[0]) choose(first ?? buttons[0]);
}

function setUpMap(chart) {
  const panel = document.getElementById("map-image");
  const drawing = chart.querySelector("svg");
  const dots = [...chart.querySelectorAll("circle[data-index]")];
  const legend = [...document.querySelectorAll(".legend button")];
  const across = [...dots].sort((first, second) => first.cx.baseVal.value - second.cx.baseVal.value);
  let now = -1;

  function show(dot) {
    for (const other of dots) other.classList.toggle("now", other === dot);
    panel.replaceChildren(card(images[Number(dot.dataset.index)], "div"));
    now = across.indexOf(dot);
  }

  function nearest(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(drawing.getScreenCTM().inverse());
    const distance = (dot) => Math.hypot(dot.cx.baseVal.value - point.x, dot.cy.baseVal.value - point.y);
    const visible = dots.filter((dot) => !dot.classList.contains("dim"));
    const found = visible.reduce((best, dot) => (best && distance(best) <= distance(dot) ? best : dot), null);
    return found && distance(found) < REACH ? found : null;
  }

  for (const kind of ["pointermove", "pointerdown"]) {
    drawing.addEventListener(kind, (event) => {
      const dot = nearest(event);
      if (dot && across.indexOf(dot) !== now) show(dot);
    });
  }
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step || !across.length) return;
    event.preventDefault();
    show(across[(now + step + across.length) % across.length]);
  });
  for (const button of legend) {
    button.addEventListener("click", () => {
      const pressed = button.getAttribute("aria-pressed") !== "true";
      for (const other of legend) other.setAttribute("aria-pressed", String(pressed && other === button));
      for (const dot of chart.querySelectorAll("circle")) {
        const own = dot.dataset.class === button.dataset.class;
        dot.classList.toggle("dim", pressed && !own);
        dot.classList.toggle("lit", pressed && own);
      }
    });
  }
}

function setUpSorting(table) {
  const body = table.tBodies[0];
  for (const button of table.querySelectorAll("th button")) {
    const header = button.closest("th");
    button.addEventListener("click", () => {
      const ascending = header.getAttribute("aria-sort") === "descending";
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const value = (row) => row.cells[header.cellIndex].dataset.value ?? row.cells[header.cellIndex].textContent;
      const order = (first, second) => value(first).localeCompare(value(second), undefined, { numeric: true });
      const byNumber = (first, second) => Number(value(first)) - Number(value(second));
      const rows = [...body.rows].sort(header.dataset.kind === "number" ? byNumber : order);
      body.append(...(ascending ? rows : rows.reverse()));
    });
  }
}

const matrix = document.getElementById("matrix");
if (matrix) setUpMatrix(matrix);
const chart = document.getElementById("map-chart");
if (chart) setUpMap(chart);
document.querySelectorAll("table.sortable").forEach(setUpSorting);
