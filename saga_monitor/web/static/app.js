// Keeps a page live, its times in the reader's zone, and lets it be used by keyboard alone.
"use strict";

const FALLBACK_MS = 5000; // how often a page asks by itself where no stream can be had
const body = document.body;
const topic = body.dataset.live;

// --- times ---------------------------------------------------------------------------------------

const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

function ageText(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  for (const [unit, size, smaller, part] of [["d", 86400, "h", 3600], ["h", 3600, "min", 60], ["min", 60, "s", 1]]) {
    if (seconds < size) continue;
    const rest = Math.floor((seconds % size) / part);
    return `${Math.floor(seconds / size)} ${unit}` + (rest ? ` ${rest} ${smaller}` : "");
  }
  return `${seconds} s`;
}

function showTimes() {
  const today = new Date().toDateString();
  for (const element of document.querySelectorAll("time[data-moment], time[data-age]")) {
    const at = new Date(element.dateTime);
    const absolute = WHEN.format(at);
    const text = "age" in element.dataset ? ageText(Date.now() - at) : at.toDateString() === today ? TIME.format(at) : absolute;
    if (element.textContent !== text) element.textContent = text;
    element.title = absolute;
  }
}

// --- live ----------------------------------------------------------------------------------------

let missed = false;
let refreshing = false;

function isBusy() {
  const focused = document.activeElement;
  const types = focused && focused.closest("#live") && focused.matches("input, textarea, select");
  return Boolean(types || document.querySelector("dialog[open]") || document.querySelector("#live :checked[data-row]"));
}

async function refresh() {
  if (!topic || document.hidden) return;
  if (isBusy()) return wait();
  missed = false;
  refreshing = true;
  const open = [...document.querySelectorAll("#live details[open][id]")].map((element) => element.id);
  await htmx.ajax("GET", location.href, { target: "#live", select: "#live", swap: "outerMorph" });
  refreshing = false;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (!missed) showState("Live");
}

function wait() {
  missed = true;
  showState("Changed; shown when you are done");
}

// Somebody may have begun to type while the answer was on its way.
document.addEventListener("htmx:before:swap", (event) => {
  if (!refreshing || !isBusy()) return;
  event.preventDefault();
  wait();
});

function showState(text) {
  const element = document.getElementById("live-state");
  if (element) element.textContent = text;
}

function followStream() {
  if (!topic) return;
  if (!window.SharedWorker) {
    setInterval(refresh, FALLBACK_MS);
    return;
  }
  const worker = new SharedWorker(body.dataset.worker);
  const say = () => worker.port.postMessage({ topic, seen: !document.hidden });
  worker.port.onmessage = ({ data }) => {
    if (data.state === "changed") refresh();
    else showState(data.state === "live" ? "Live" : "Not connected; trying again");
  };
  document.addEventListener("visibilitychange", () => {
    say();
    if (!document.hidden) refresh();
  });
  addEventListener("pagehide", () => worker.port.postMessage({ gone: true }));
  addEventListener("pageshow", say);
  say();
}

// --- dialogs, copying, what a browser keeps -------------------------------------------------------

document.addEventListener("click", async (event) => {
  const opener = event.target.closest("[data-open]");
  if (opener) {
    const dialog = document.getElementById(opener.dataset.open);
    for (const input of dialog.querySelectorAll("[data-keep]")) input.value ||= localStorage.getItem(input.dataset.keep) || "";
    dialog.showModal();
  }
  if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
  const copier = event.target.closest("[data-copy]");
  if (copier) {
    await navigator.clipboard.writeText(copier.parentElement.querySelector("code").textContent);
    copier.textContent = "Copied";
  }
});
document.addEventListener("submit", (event) => {
  for (const input of event.target.querySelectorAll("[data-keep]")) localStorage.setItem(input.dataset.keep, input.value);
});
document.addEventListener("close", () => missed && refresh(), true);
document.addEventListener("focusout", () => setTimeout(() => missed && refresh(), 0));

document.getElementById("theme").addEventListener("click", () => {
  const shown = document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const chosen = shown === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = chosen;
  localStorage.setItem("theme", chosen);
});
document.getElementById("keys-button").addEventListener("click", () => document.getElementById("keys").showModal());

// --- time travel ---------------------------------------------------------------------------------

document.addEventListener("input", (event) => {
  if (event.target.id !== "slider") return;
  const form = event.target.form;
  const moments = form.dataset.moments.split(" ");
  const chosen = moments[event.target.value];
  form.elements.at.value = chosen || "";
  form.querySelector("output").textContent = chosen ? WHEN.format(new Date(chosen)) : "now";
});
document.addEventListener("change", (event) => {
  if (event.target.id === "slider" || event.target.name === "basis") submitTravel(event.target.form);
});
document.addEventListener("submit", (event) => {
  if (!event.target.matches(".travel form")) return;
  event.preventDefault();
  submitTravel(event.target);
});

function submitTravel(form) {
  const query = new URLSearchParams({ key: form.elements.key.value });
  if (form.elements.at.value) {
    query.set("at", form.elements.at.value);
    query.set("basis", form.elements.basis.value);
  }
  location.href = "/ui/saga?" + query;
}

// --- search ---------------------------------------------------------------------------------------

document.addEventListener("input", async (event) => {
  if (event.target.id !== "query") return;
  const answer = await fetch("/ui/completions?" + new URLSearchParams({ q: event.target.value }));
  if (!answer.ok) return;
  const options = (await answer.json()).map((text) => Object.assign(document.createElement("option"), { value: text }));
  document.getElementById("completions").replaceChildren(...options);
});

// --- keys ----------------------------------------------------------------------------------------

const PLACES = { o: "/ui/overview", s: "/ui/sagas", i: "/ui/interventions", u: "/ui/unreadable", f: "/ui/flows", v: "/ui/services", a: "/ui/audit" };
let going = false;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, textarea, select") || document.querySelector("dialog[open]")) return;
  if (going && PLACES[event.key]) location.href = PLACES[event.key];
  going = event.key === "g";
  if (event.key === "/") {
    event.preventDefault();
    document.querySelector("[type=search]").focus();
  } else if (event.key === "?") document.getElementById("keys").showModal();
  else if (event.key === "j" || event.key === "k") move(event.key === "j" ? 1 : -1);
});

function move(by) {
  const links = [...document.querySelectorAll("table.rows tbody tr a.row, table.rows tbody tr summary")];
  if (!links.length) return;
  const at = links.indexOf(document.activeElement);
  links[Math.min(Math.max(at + by, 0), links.length - 1)].focus();
}

// What blocks each saga of a list is asked once the list is shown: participants have to answer.
function loadCauses() {
  const element = document.querySelector("[data-causes]:not([data-asked])");
  if (!element) return;
  element.dataset.asked = "";
  htmx.ajax("GET", element.dataset.causes, { target: element, swap: "none" });
}

showTimes();
setInterval(showTimes, 1000);
document.addEventListener("htmx:after:swap", () => {
  showTimes();
  loadCauses();
});
addEventListener("load", loadCauses);
followStream();
