"use strict";
const batch = JSON.parse(document.getElementById("batch").textContent);
const at = (id) => document.getElementById(id);
const KEPT = "alenv label " + batch.id;
const WINDOW = 40; // thumbnails on each side that exist at a time

// What was done, in order: {file, before, after}; an image is labeled {label}, unclear {unclear: true}, or open null.
const state = Object.assign({ done: {}, history: [], added: [], here: 0 }, read());
let file = null; // where the browser may write labels.csv
let shown = -1;

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) || {};
  } catch (error) {
    return {};
  }
}

function keep() {
  try {
    localStorage.setItem(KEPT, JSON.stringify(state));
    return true;
  } catch (error) {
    return false; // private windows may have no storage: the count says so
  }
}

const classes = () => batch.classes.concat(state.added);
// Classes that are digits have their own keys, the first ten of others 1 to 9 and 0.
const byName = () => classes().every((name) => /^[0-9]$/.test(name));
const keyOf = (name, place) => (byName() ? name : place < 10 ? String((place + 1) % 10) : "");
const ofKey = (key) => classes().find((name, place) => keyOf(name, place) === key);
const image = () => batch.images[state.here];
const doneOf = (each) => state.done[each.file] || null;

function matches() {
  const typed = at("find").value.trim().toLowerCase();
  if (!typed) return classes();
  const found = classes().filter((name) => name.toLowerCase().includes(typed));
  const rank = (name) => (name.toLowerCase() === typed ? 0 : name.toLowerCase().startsWith(typed) ? 1 : 2);
  return found.sort((a, b) => rank(a) - rank(b));
}

function set(after) {
  const each = image();
  state.history.push({ file: each.file, before: doneOf(each), after, here: state.here });
  if (after) state.done[each.file] = after;
  else delete state.done[each.file];
  at("find").value = "";
  next(true);
}

function give(label) {
  if (label) set({ label });
}

function next(open) {
  const count = batch.images.length;
  let place = state.here + 1;
  if (open) {
    let left = count;
    place %= count;
    while (left && doneOf(batch.images[place])) {
      place = (place + 1) % count;
      left -= 1;
    }
    if (!left) place = Math.min(state.here + 1, count - 1);
  }
  go(Math.min(place, count - 1));
}

function go(place) {
  state.here = Math.max(0, place);
  keep();
  draw();
}

function undo() {
  const last = state.history.pop();
  if (!last) return;
  if (last.before) state.done[last.file] = last.before;
  else delete state.done[last.file];
  at("find").value = "";
  go(last.here);
}

function add() {
  const name = at("find").value.trim();
  if (!name) return at("find").focus();
  if (!classes().includes(name)) state.added.push(name);
  give(name);
}

function enter() {
  give(at("find").value.trim() ? matches()[0] : image().predicted);
}

// ---- what is seen

function draw() {
  const each = image(), done = doneOf(each);
  if (shown !== state.here) {
    const picture = at("shown");
    picture.onerror = () => { picture.onerror = null; picture.src = each.preview || each.thumb; };
    picture.onload = () => picture.classList.toggle("small", picture.naturalWidth < 200);
    picture.src = each.preview || each.url;
    picture.alt = each.file;
    shown = state.here;
    ahead();
  }
  at("name").textContent = `${state.here + 1}. ${each.file}`;
  const guess = each.predicted ? `predicted ${each.predicted} (${Math.round(100 * each.confidence)} %)` : each.reason || "";
  at("said").textContent = done ? (done.unclear ? "unclear" : done.label) : guess;
  drawClasses(each, done);
  drawStrip();
  const labels = Object.values(state.done).filter((one) => one.label).length;
  at("bar").max = batch.images.length;
  at("bar").value = labels;
  const unclear = Object.values(state.done).length - labels;
  const lost = keep() ? "" : ", not kept by this browser: save";
  at("count").textContent = `${labels} of ${batch.images.length}${unclear ? `, ${unclear} unclear` : ""}${lost}`;
  at("undo").disabled = !state.history.length;
  at("back").disabled = state.here === 0;
}

function drawClasses(each, done) {
  const typed = at("find").value.trim(), all = classes();
  const buttons = matches().map((name, place) => {
    const button = document.createElement("button");
    const own = keyOf(name, all.indexOf(name));
    if (own && own !== name) {
      const key = document.createElement("kbd");
      key.textContent = own;
      button.append(key);
    }
    button.append(name);
    button.dataset.label = name;
    button.tabIndex = -1;
    button.classList.toggle("given", Boolean(done && done.label === name));
    button.classList.toggle("likely", !typed && each.predicted === name);
    button.classList.toggle("first", Boolean(typed) && place === 0);
    return button;
  });
  at("classes").replaceChildren(...buttons);
  at("add").disabled = !typed || all.includes(typed);
}

function drawStrip() {
  const first = Math.max(0, state.here - WINDOW), last = Math.min(batch.images.length, state.here + WINDOW + 1);
  const strip = at("strip");
  const known = new Map([...strip.children].map((button) => [Number(button.dataset.place), button]));
  const buttons = [];
  for (let place = first; place < last; place += 1) {
    const each = batch.images[place], done = doneOf(each);
    let button = known.get(place);
    if (!button) {
      button = document.createElement("button");
      button.dataset.place = place;
      button.tabIndex = -1;
      button.title = each.file;
      const picture = document.createElement("img");
      picture.src = each.thumb;
      picture.alt = "";
      button.append(picture);
    }
    button.className = `${done ? (done.unclear ? "unclear" : "labeled") : ""} ${place === state.here ? "here" : ""}`;
    button.toggleAttribute("aria-current", place === state.here);
    buttons.push(button);
  }
  strip.replaceChildren(...buttons);
  const here = strip.querySelector(".here");
  strip.scrollLeft = here.offsetLeft - strip.clientWidth / 2 + here.clientWidth / 2;
}

function ahead() {
  for (const each of batch.images.slice(state.here + 1, state.here + 3)) new Image().src = each.preview || each.url;
}

// ---- what is written

const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

function csv() {
  const lines = ["file,label,note"];
  for (const each of batch.images) {
    const done = doneOf(each);
    if (done) lines.push([each.file, done.label || "", done.unclear ? "unclear" : ""].map(quoted).join(","));
  }
  return `${lines.join("\n")}\n`;
}

async function save() {
  if (!window.showSaveFilePicker) return download();
  try {
    file = file || (await window.showSaveFilePicker({ suggestedName: "labels.csv" }));
    const stream = await file.createWritable();
    await stream.write(csv());
    await stream.close();
    at("save").textContent = "Saved";
    setTimeout(() => { at("save").textContent = "Save labels.csv"; }, 1500);
  } catch (error) {
    if (error.name !== "AbortError") download(); // a page that was opened as a file may not be allowed to write
  }
  return undefined;
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "labels.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// ---- what is done

function help() {
  at("help").hidden = !at("help").hidden;
  at("keys").setAttribute("aria-expanded", String(!at("help").hidden));
}

const KEYS = {
  Enter: (event) => (event.shiftKey ? add() : enter()),
  Escape: () => { at("find").value = ""; draw(); },
  ArrowRight: () => next(false),
  ArrowLeft: () => go(state.here - 1),
};
const KEYS_OF_NO_TEXT = {
  " ": () => next(true),
  ".": () => set({ unclear: true }),
  Backspace: undo,
};

document.addEventListener("keydown", (event) => {
  const key = event.key, typed = at("find").value, command = event.ctrlKey || event.metaKey;
  let does = null;
  if (command && key.toLowerCase() === "s") does = save;
  else if (command && key.toLowerCase() === "z") does = undo;
  else if (command || event.altKey || event.isComposing) return;
  else if (key === "Enter" && event.target.closest("header, .row button")) return;
  else if (Object.hasOwn(KEYS, key)) does = KEYS[key];
  else if (!typed && Object.hasOwn(KEYS_OF_NO_TEXT, key)) does = KEYS_OF_NO_TEXT[key];
  else if (!typed && /^[0-9]$/.test(key)) does = () => give(ofKey(key));
  if (does) {
    event.preventDefault();
    does(event);
  } else if (key.length === 1) at("find").focus();
});

at("find").addEventListener("input", draw);
at("classes").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) give(button.dataset.label);
});
at("strip").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) go(Number(button.dataset.place));
});
for (const [id, does] of Object.entries({ save, keys: help, add, undo, back: () => go(state.here - 1), skip: () => next(true), unclear: () => set({ unclear: true }) })) {
  at(id).addEventListener("click", (event) => { does(); event.currentTarget.blur(); });
}
state.here = Math.min(state.here, batch.images.length - 1);
draw();
