"use strict";

const SECTIONS = ["fault", "status", "diagnostics", "diagram", "costs", "outputs", "maps", "curves"];
const root = document.documentElement;
const place = (id) => document.getElementById(id);

// Sections

const shown = {};

function update({ state, computing, ...sections }) {
  if (computing !== undefined) showComputing(computing);
  if (state) {
    root.classList.toggle("broken", state.broken);
    place("name").textContent = state.name;
    document.title = `${state.broken ? "✗ " : ""}${state.name} – cnnspec`;
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
  const before = stateOf(element);
  element.innerHTML = html;
  restore(element, before);
  element.scrollTo({ left: scrollLeft, top: scrollTop, behavior: "instant" });
}

// What a reader did to a diagram: blocks that are folded, the layer that is chosen, and where the focus is

const nameOf = (element) => element?.closest("[data-name]")?.dataset.name;
const find = (element, name) => element.querySelector(`[data-name="${CSS.escape(name)}"]`);

function stateOf(element) {
  const blocks = [...element.querySelectorAll(".block[data-name]")];
  return {
    folded: new Map(blocks.map((block) => [block.dataset.name, block.dataset.folded])),
    chosen: nameOf(element.querySelector(".layer.chosen")),
    focused: element.contains(document.activeElement) ? nameOf(document.activeElement) : undefined,
  };
}

function restore(element, { folded, chosen, focused }) {
  const blocks = [...element.querySelectorAll(".block[data-name]")];
  const wanted = (block) => folded.get(block.dataset.name) ?? block.dataset.folded;
  if (blocks.some((block) => block.dataset.folded !== wanted(block))) {
    const unfolded = blocks.filter((block) => wanted(block) === "false").map((block) => block.dataset.name);
    cnnspecDiagram.unfold(element.querySelector("svg"), unfolded);
  }
  if (chosen !== undefined) find(element, chosen)?.classList.add("chosen");
  if (focused !== undefined) {
    const part = find(element, focused);
    (part?.querySelector(":scope > .toggle") ?? part)?.focus({ preventScroll: true });
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

const NOTICEABLE = 300; // milliseconds that a network computes before the page says so
let noticed;

function showComputing(picture) {
  clearTimeout(noticed);
  if (picture) noticed = setTimeout(() => say(`${picture} is being computed …`, false), NOTICEABLE);
  else if (!place("sending").classList.contains("fault")) say("", false);
}

function say(text, fault) {
  place("sending").textContent = text;
  place("sending").classList.toggle("fault", fault);
}

let sent = 0;

async function send(file) {
  const number = ++sent;
  const sayUnlessLater = (text, fault) => { if (number === sent) say(text, fault); };
  if (file.size > Number(place("drop").dataset.most)) {
    say(`${file.name} is too large`, true);
    return;
  }
  say(`sending ${file.name} …`, false);
  const headers = { "Content-Type": "application/octet-stream", "X-File-Name": encodeURIComponent(file.name) };
  try {
    const answer = await fetch("picture", { method: "POST", body: file, headers });
    sayUnlessLater(answer.ok ? "" : await answer.text(), !answer.ok);
  } catch {
    sayUnlessLater(`${file.name} was not sent: the server does not answer`, true);
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
