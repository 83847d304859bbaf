// What pages gain where scripts run: the reader's time zone, parts that stay fresh, a choice of theme, and keys.
"use strict";

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const told = document.cookie.split("; ").find((part) => part.startsWith("socbot_zone="))?.slice(12);
if (zone && told !== zone) {
  document.cookie = `socbot_zone=${zone}; path=/; samesite=strict; max-age=31536000`;
  if (told === undefined && document.querySelector("time")) refresh(); // once: the page was written in another zone
}

// -- times that were "3m ago" some minutes ago --------------------------------------------------------

function duration(seconds) {
  const units = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first < 0) return "1s";
  let text = "";
  for (const [name, size] of units.slice(first, first + 2)) {
    const count = Math.floor(seconds / size);
    if (count) text += `${text ? " " : ""}${count}${name}`;
    seconds -= count * size;
  }
  return text;
}

function age() {
  for (const element of document.querySelectorAll("time.ago")) {
    const past = (Date.now() - Date.parse(element.dateTime)) / 1000;
    const text = Math.abs(past) < 1 ? "just now" : past > 0 ? `${duration(past)} ago` : `in ${duration(-past)}`;
    if (element.textContent !== text) element.textContent = text;
  }
}

// -- parts that stay fresh ----------------------------------------------------------------------------

// An element with data-live is replaced by its likeness in the page as it is now, every so many seconds that <main>
// says. Nothing is replaced that holds the focus, has been opened, or is being selected.
async function refresh() {
  const pulse = document.getElementById("pulse");
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html", "X-Refresh": "1" }, redirect: "error" });
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of document.querySelectorAll("[data-live]")) {
      const now = old.id && fresh.getElementById(old.id);
      if (now && !old.contains(document.activeElement) && !old.querySelector("details[open]") && !selected(old) && old.outerHTML !== now.outerHTML)
        old.replaceWith(document.importNode(now, true));
    }
    for (const old of document.querySelectorAll("time.moment")) old.title = old.title;
    if (pulse) { pulse.hidden = false; pulse.className = "pulse good"; pulse.textContent = "live"; }
  } catch {
    if (pulse) { pulse.hidden = false; pulse.className = "pulse bad"; pulse.textContent = "no connection"; }
  }
}

function selected(element) {
  const selection = getSelection();
  return selection && !selection.isCollapsed && element.contains(selection.anchorNode);
}

const main = document.getElementById("main");
const every = Number(main?.dataset.refresh ?? 0);
if (every) setInterval(() => { if (!document.hidden) refresh(); }, every * 1000);
if (every) document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
setInterval(() => { if (!document.hidden) age(); }, 1000);

// -- theme --------------------------------------------------------------------------------------------

const theme = document.getElementById("theme");
if (theme) {
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* for this page, then */ }
  });
}

// -- keys ---------------------------------------------------------------------------------------------

// "/" goes to the page's search; "g" and a letter to a page of the menu that begins with it.
let leading = false;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, textarea, select")) return;
  if (event.key === "/") {
    const search = document.querySelector("input[type=search]");
    if (search) { event.preventDefault(); search.focus(); }
  } else if (leading) {
    const page = [...document.querySelectorAll("nav a")].find((link) => link.textContent.trim().toLowerCase().startsWith(event.key.toLowerCase()));
    if (page) page.click();
  }
  leading = event.key === "g" && !leading;
});
