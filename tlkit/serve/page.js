"use strict";
// Photos in, answers out. Everything that comes from the server or from a file is written as text, never as markup.
const TOP = 5; // classes of a card
const MAX_CARDS = 30; // answers that stay on the page
const AT_A_TIME = 2; // requests

const part = (id) => document.getElementById(id);
const waiting = []; // photos that are not sent yet
let running = 0;
let token = sessionStorage.getItem("token") || "";
let limits = { max_bytes: 10e6 };
let stream = null; // of the camera

function element(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

function isolated(text) {
  // a name of any script; characters that turn the direction of what follows are shown as their codes
  const shown = text.replace(/[\u202a-\u202e\u2066-\u2069]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16)}`);
  return element("bdi", "", shown);
}

function percent(fraction) {
  const rounded = Math.round(100 * fraction);
  const shown = rounded === 100 && fraction < 0.9995 ? ">\u00a099" : rounded === 0 && fraction > 0.0005 ? "<\u00a01" : rounded;
  return `${shown}\u00a0%`;
}

function say(words) {
  part("status").textContent = words;
}

async function ask(address, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(address, { ...options, headers });
  if (answer.status === 401) askForToken();
  const content = await answer.json();
  if (content.error && !content.status) throw new Error(content.error);
  return content;
}

function askForToken() {
  part("access").hidden = false;
  part("access-words").textContent = token ? "The token is wrong." : "";
  part("input").hidden = true;
  part("token").focus();
}

async function start() {
  try {
    const found = await ask("models");
    limits = found.limits;
    part("access").hidden = true;
    part("input").hidden = false;
    const options = found.models.map((model) => {
      const made = element("option", "", model.name);
      made.value = model.name;
      return made;
    });
    part("model").replaceChildren(...options);
    part("choice").hidden = found.models.length < 2;
    const describe = () => {
      const model = found.models.find((one) => one.name === part("model").value);
      const names = model.class_names.slice(0, 8).flatMap((name, number) => [number ? ", " : "", isolated(name)]);
      const more = model.class_names.length > 8 ? ", …" : "";
      const unknown = model.answers_unknown ? " It says so where a photo is unlike those it learned from." : "";
      const count = ` distinguishes ${model.class_names.length} classes: `;
      part("about").replaceChildren("“", isolated(model.name), "”", count, ...names, `${more}.${unknown}`);
      document.title = `${model.name} – tlkit`;
    };
    part("model").onchange = describe;
    describe();
  } catch (error) {
    say(part("access").hidden ? error.message : "");
  }
}

function add(files) {
  for (const file of files) {
    const card = makeCard(file);
    part("cards").prepend(card.item);
    waiting.push(card);
  }
  part("results").hidden = false;
  while (part("cards").children.length > MAX_CARDS) forget(part("cards").lastElementChild);
  sendNext();
}

function makeCard(file) {
  const photo = element("img");
  photo.src = URL.createObjectURL(file);
  photo.alt = "";
  const frame = element("figure", "frame", photo);
  photo.onerror = () => photo.replaceWith(element("span", "small", "this browser cannot show the file"));
  const facts = element("div", "facts", element("p", "answer waiting", "…"));
  return { file, photo, frame, facts, item: element("li", "card", frame, facts), model: part("model").value };
}

function forget(item) {
  const photo = item.querySelector("img");
  if (photo && photo.src.startsWith("blob:")) URL.revokeObjectURL(photo.src);
  item.remove();
}

function sendNext() {
  while (running < AT_A_TIME && waiting.length) {
    running += 1;
    classify(waiting.shift()).finally(() => {
      running -= 1;
      sendNext();
    });
  }
}

function request(card, address, extra) {
  const form = new FormData();
  form.append("file", card.file, card.file.name || "photo.jpg");
  const query = new URLSearchParams({ model: card.model, ...extra });
  return ask(`${address}?${query}`, { method: "POST", body: form });
}

async function classify(card) {
  try {
    if (card.file.size > limits.max_bytes) throw new Error(`The file is larger than ${limits.max_bytes / 1e6} MB.`);
    const [row] = await request(card, "predict", { top_k: TOP });
    if (row.status === "error") throw new Error(`The file ${row.error}.`);
    show(card, row);
    say(`${card.file.name || "photo"}: ${row.status === "unknown" ? "unknown, most like " : ""}${row.label}, ${percent(row.confidence)}`);
  } catch (error) {
    const words = error instanceof TypeError ? "The server does not answer." : error.message;
    card.facts.replaceChildren(element("p", "answer failed", words), nameOf(card));
    say(words);
  }
}

function nameOf(card) {
  return element("p", "name", isolated(card.file.name || "photo"));
}

function show(card, row) {
  card.photo.alt = card.file.name || "photo";
  const label = isolated(row.status === "unknown" ? "unknown" : row.label);
  const parts = [element("p", "answer", label)];
  if (row.status !== "unknown") parts[0].append(element("span", "number", percent(row.confidence)));
  parts.push(nameOf(card));
  if (row.status === "unknown") {
    parts.push(element("p", "unknown", `${row.reason}; most like `, isolated(row.label)));
  }
  const bars = barsOf(row.top);
  if (row.status === "unknown") bars.classList.add("unsure");
  parts.push(bars);
  const why = element("button", "plain why", "Show where");
  why.type = "button";
  why.setAttribute("aria-pressed", "false");
  why.onclick = () => toggle(card, why);
  parts.push(why);
  card.facts.replaceChildren(...parts);
}

function barsOf(top) {
  return element("ul", "bars", ...top.map(({ label, prob }) => {
    const fill = element("span", "fill");
    fill.style.width = `${100 * prob}%`;
    const track = element("span", "track", fill);
    track.setAttribute("aria-hidden", "true");
    return element("li", "", isolated(label), track, element("span", "number", percent(prob)));
  }));
}

async function toggle(card, why) {
  const isShown = why.getAttribute("aria-pressed") === "true";
  if (!card.original) card.original = card.photo.src;
  if (!isShown && !card.overlay) {
    why.disabled = true;
    why.textContent = "Looking …";
    try {
      const found = await request(card, "explain", {});
      if (found.error) throw new Error(found.error);
      card.overlay = found.overlay;
      card.label = found.class;
    } catch (error) {
      say(error.message);
    }
    why.disabled = false;
    why.textContent = card.overlay ? "Show where" : "Try again";
    if (!card.overlay) return;
  }
  if (!card.photo.isConnected) card.frame.replaceChildren(card.photo);
  card.photo.src = isShown ? card.original : card.overlay;
  card.photo.alt = isShown ? card.file.name : `Heat map: bright where the photo speaks for ${card.label}`;
  why.setAttribute("aria-pressed", String(!isShown));
  why.textContent = isShown ? "Show where" : "Show the photo";
  why.focus();
}

function closeCamera() {
  if (stream) stream.getTracks().forEach((track) => track.stop());
  stream = null;
  part("camera").hidden = true;
  part("drop").hidden = false;
  part("open-camera").focus();
}

async function openCamera() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    part("video").srcObject = stream;
    part("camera").hidden = false;
    part("drop").hidden = true;
    part("take").focus();
    say("");
  } catch (error) {
    say(`The camera cannot be used (${error.name === "NotAllowedError" ? "it is not allowed" : "there is none"}).`);
  }
}

function takePhoto() {
  const video = part("video");
  const canvas = element("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  const name = `camera ${new Date().toLocaleTimeString()}.jpg`;
  canvas.toBlob((blob) => blob && add([new File([blob], name, { type: "image/jpeg" })]), "image/jpeg", 0.95);
}

const chooser = part("files");
part("choose").onclick = () => chooser.click();
chooser.onchange = () => {
  add(chooser.files);
  chooser.value = "";
};
let depth = 0; // of elements that a dragged file is over
document.addEventListener("dragenter", () => part("drop").classList.toggle("over", ++depth > 0));
document.addEventListener("dragleave", () => part("drop").classList.toggle("over", --depth > 0));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  part("drop").classList.remove("over");
  if (!part("input").hidden) add(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length && !part("input").hidden) add(files);
});
if (navigator.mediaDevices && navigator.mediaDevices.getUserMedia) part("open-camera").hidden = false;
part("open-camera").onclick = openCamera;
part("close-camera").onclick = closeCamera;
part("take").onclick = takePhoto;
part("clear").onclick = () => {
  for (const item of [...part("cards").children]) forget(item);
  waiting.length = 0;
  part("results").hidden = true;
  say("");
  part("choose").focus();
};
part("access").onsubmit = (event) => {
  event.preventDefault();
  token = part("token").value.trim();
  part("links").hidden = true; // a link sends no token
  sessionStorage.setItem("token", token);
  start();
};
start();
