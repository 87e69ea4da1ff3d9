"use strict";

const SECTIONS = ["fault", "status", "diagnostics", "diagram", "costs", "outputs", "maps", "curves"];
const root = document.documentElement;
const place = (id) => document.getElementById(id);

// Sections

const shown = {};

function update({ state, ...sections }) {
  if (state) {
    root.classList.toggle("broken", state.broken);
    place("name").textContent = state.name;
  }
  for (const name of SECTIONS) {
    if (name in sections && sections[name] !== shown[name] && place(name)) {
      replace(place(name), sections[name]);
      shown[name] = sections[name];
    }
  }
}

function replace(element, html) {
  const { scrollLeft, scrollTop } = element;
  const folds = foldsOf(element);
  const focused = element.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  element.innerHTML = html;
  restoreFolds(element, folds);
  element.scrollTo({ left: scrollLeft, top: scrollTop, behavior: "instant" });
  if (focused) find(element, focused)?.focus({ preventScroll: true });
}

const nameOf = (element) => element.dataset?.name;
const find = (element, name) => element.querySelector(`[data-name="${CSS.escape(name)}"]`);

function foldsOf(element) {
  const blocks = element.querySelectorAll("[data-name][aria-expanded]");
  return new Map([...blocks].map((block) => [nameOf(block), block.getAttribute("aria-expanded")]));
}

function restoreFolds(element, folds) {
  for (const [name, expanded] of folds) {
    const block = find(element, name);
    if (block && block.getAttribute("aria-expanded") !== expanded) {
      block.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    }
  }
}

document.addEventListener("cnnspec:layer", (event) => {
  for (const row of document.querySelectorAll("[data-layer]")) {
    const chosen = row.dataset.layer === event.detail.name;
    row.classList.toggle("chosen", chosen);
    if (chosen) row.scrollIntoView({ block: "nearest" });
  }
});

// Events of the server

const RETRY = 500;

function connect() {
  const stream = new EventSource("events");
  stream.addEventListener("open", () => connection("live", true));
  stream.addEventListener("update", (event) => update(JSON.parse(event.data)));
  stream.addEventListener("error", () => {
    connection("not connected, trying again …", false);
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, RETRY);
  });
}

function connection(text, live) {
  const line = place("connection");
  line.firstElementChild.textContent = text;
  line.classList.toggle("live", live);
}

// Pictures

function say(text, fault) {
  place("sending").textContent = text;
  place("sending").classList.toggle("fault", fault);
}

async function send(file) {
  if (file.size > Number(place("drop").dataset.most)) {
    say(`${file.name} is too large`, true);
    return;
  }
  say(`sending ${file.name} …`, false);
  const headers = { "Content-Type": "application/octet-stream", "X-File-Name": encodeURIComponent(file.name) };
  try {
    const answer = await fetch("picture", { method: "POST", body: file, headers });
    say(answer.ok ? "" : await answer.text(), !answer.ok);
  } catch {
    say(`${file.name} was not sent: the server does not answer`, true);
  }
}

const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");

document.addEventListener("dragover", (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  root.classList.add("dragging");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) root.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  root.classList.remove("dragging");
  if (event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
});
place("file").addEventListener("change", ({ target }) => {
  if (target.files.length) send(target.files[0]);
  target.value = "";
});
place("drop").addEventListener("submit", (event) => event.preventDefault());

// Theme

const THEMES = ["automatic", "light", "dark"];

function theme(name) {
  if (name === "automatic") delete root.dataset.theme;
  else root.dataset.theme = name;
  localStorage.setItem("cnnspec-theme", name);
  place("theme").textContent = `Theme: ${name}`;
}

place("theme").addEventListener("click", () => {
  theme(THEMES[(THEMES.indexOf(root.dataset.theme ?? "automatic") + 1) % THEMES.length]);
});
theme(root.dataset.theme ?? "automatic");
connect();
