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

// -- the log as it is written -------------------------------------------------------------------------

const log = document.getElementById("log");
if (log && typeof EventSource !== "undefined") tail(log);

function tail(log) {
  const MOST = 2000;
  const [tools, state, pause, end, aloud] = ["tail-tools", "tail-state", "tail-pause", "tail-end", "tail-aloud"].map((id) => document.getElementById(id));
  let lines = document.getElementById("log-lines");
  let source = null, following = true, waiting = [], drawing = false, caught = false;

  tools.hidden = false;
  log.classList.add("tailing");
  toEnd();
  start();

  function start() {
    source = new EventSource(log.dataset.stream);
    tell("", "connecting");
    source.addEventListener("open", catchUp);
    source.addEventListener("line", (event) => add(line(JSON.parse(event.data))));
    source.addEventListener("dropped", (event) => add(gap(`${JSON.parse(event.data)} lines are not shown: they came faster than they could be sent`)));
    source.addEventListener("end", () => stop("ended", "bad"));
    source.addEventListener("error", () => {
      if (source?.readyState === EventSource.CLOSED) stop("cannot be followed: too many watch, or you are signed out", "bad");
      else tell("bad", "no connection");
    });
    pause.textContent = "Pause";
  }

  function stop(text, kind) {
    source?.close();
    source = null;
    tell(kind, text);
    pause.textContent = "Go on";
  }

  // What was written before the stream began, or while it was away, is on the page as it is now.
  async function catchUp() {
    caught = false;
    try {
      const answer = await fetch(location.href, { headers: { "X-Refresh": "1" }, redirect: "error" });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("log-lines");
      if (fresh && following && !selected(log) && !log.querySelector("details[open]")) {
        const there = new Set([...fresh.children].slice(-waiting.length - 50).map(key));
        waiting = waiting.filter((each) => !there.has(key(each)));
        lines.replaceWith(document.importNode(fresh, true));
        lines = document.getElementById("log-lines");
        toEnd();
      }
      tell("good", "live");
    } catch { tell("bad", "no connection"); }
    caught = true;
    draw();
  }

  function key(element) {
    return `${element.querySelector("time")?.dateTime.slice(0, 19)} ${element.querySelector(".said")?.textContent}`;
  }

  function add(element) {
    waiting.push(element);
    if (waiting.length > MOST) waiting.splice(0, waiting.length - MOST);
    if (!drawing) { drawing = true; requestAnimationFrame(draw); }
  }

  function draw() {
    drawing = false;
    if (!caught || !waiting.length) return;
    document.getElementById("log-empty")?.remove();
    lines.append(...waiting);
    waiting = [];
    let taken = 0;
    while (lines.childElementCount > MOST) { taken += lines.firstElementChild.offsetHeight; lines.firstElementChild.remove(); }
    if (following) toEnd();
    else if (taken) log.scrollTop -= taken; // what is being read stays where it is
  }

  function line(entry) {
    const row = element("div", `line ${entry.level.toLowerCase()}`);
    if (entry.at !== null) {
      const at = new Date(entry.at * 1000), time = element("time", "moment", at.toLocaleTimeString("en-GB"));
      time.dateTime = at.toISOString();
      row.append(time);
    }
    const logger = element("a", "logger", entry.logger);
    logger.href = `/logs?${new URLSearchParams({ logger: entry.logger })}`;
    row.append(" ", element("span", "level", entry.level || "–"), " ", logger, " ", element("span", "said", entry.message));
    if (entry.trace) {
      const trace = element("a", "trace", "trace");
      trace.href = `/traces/${encodeURIComponent(entry.trace)}`;
      row.append(" ", trace);
    }
    if (entry.more) {
      const more = element("details", "");
      more.append(element("summary", "", "more"), element("pre", "", entry.more));
      row.append(more);
    }
    return row;
  }

  function gap(text) { return element("div", "line gap", text); }

  function element(name, kind, text = "") {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    made.textContent = text;
    return made;
  }

  function tell(kind, text) { state.className = `pulse ${kind}`; state.textContent = text; }

  function toEnd() { following = true; end.hidden = true; log.scrollTop = log.scrollHeight; }

  log.addEventListener("scroll", () => {
    following = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
    end.hidden = following;
  }, { passive: true });
  end.addEventListener("click", toEnd);
  pause.addEventListener("click", () => { if (source) stop("paused", ""); else { waiting = []; start(); } });
  aloud.addEventListener("change", () => log.setAttribute("aria-live", aloud.checked ? "polite" : "off"));
}
