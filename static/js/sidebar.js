// The sidebar shows what a fresh page would, on every page. Part of page.js: see BUNDLES in controllers/static.py.
//
// A page with a stream hears which thread is busy, idle or gone, and moves that one. After every connection it also hears
// the mark of the whole list: it asks for the list only if it shows another one. A page without a stream asks, with the
// mark of what it shows, when it is looked at again and every 20 seconds.

const list = document.getElementById("threads");
let morphThread;
let isStale = false; // something was told that could not be shown yet

if (list) {
  list.scrollTop = Number(sessionStorage.getItem("sidebar") ?? 0);
  list.querySelector('[aria-current="page"]')?.scrollIntoView({ block: "nearest" }); // a thread just begun is at the top
  addEventListener("pagehide", () => sessionStorage.setItem("sidebar", list.scrollTop));
  setInterval(() => (isStale || !hasStream()) && askForThreads(), 20_000);
  document.addEventListener("visibilitychange", () => (isStale || !hasStream()) && askForThreads());
  addEventListener("pageshow", ({ persisted }) => persisted && !hasStream() && askForThreads());
  document.addEventListener("toggle", ({ target }) => isStale && !target.open && list.contains(target) && askForThreads(), true);
}

const hasStream = () => document.getElementById("thread") !== null;
const items = () => [...list.querySelectorAll(":scope > .thread-item")];
const itemOf = (id) => document.getElementById(`thread-${id}`);
const isInUse = (item) => item.querySelector("details[open]") !== null; // an open menu keeps its place and its text

// One after the other: htmx queues at most one request per element and drops the rest.
let asked = Promise.resolve();

function askForThreads() {
  isStale = true;
  if (document.hidden) return asked;
  const run = () => htmx.ajax("GET", `/threads?mark=${markOf(items())}`, { source: list, target: list, swap: "threads" });
  asked = asked.then(run, run);
  return asked;
}

// As `mark_of` of chat/sidebar.py makes it.
function markOf(shown) {
  const signs = shown.slice(0, Number(list.dataset.length)).map((item) => {
    const isBusy = item.querySelector(".busy") ? 1 : 0;
    return `${item.id.slice("thread-".length)} ${item.dataset.at} ${isBusy} ${item.querySelector(".title").textContent}`;
  });
  let crc = -1;
  for (const byte of new TextEncoder().encode(signs.join("\n"))) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (~crc >>> 0).toString(16);
}

// -- What the stream tells --------------------------------------------------------------------------------------------

const toldThreads = {
  busy: (facts) => use(facts, true),
  idle: (facts) => use(facts, false),
  removed: ({ thread: id }) => void itemOf(id)?.remove(),
  sidebar: ({ mark }) => (mark === markOf(items()) ? undefined : askForThreads()),
};

document.addEventListener("htmx:sse:before:message", ({ detail: { message, waitUntil } }) => {
  const work = toldThreads[message.event]?.(JSON.parse(message.data));
  if (work) waitUntil(work.catch(() => {}));
});

// A thread was used: it is the newest now. What is told late, after something newer was shown, changes nothing.
function use({ thread: id, at }, isBusy) {
  const item = itemOf(id);
  if (!item) return askForThreads();
  if (at < item.dataset.at) return undefined;
  if (isInUse(item)) isStale = true;
  else item.dataset.at = at;
  item.querySelector(".busy")?.remove();
  if (isBusy) item.querySelector("a").append(busySign());
  if (!isInUse(item)) put(item, items().find((other) => other !== item && isNewer(item, other)));
  renewMore();
  return undefined;
}

// As in templates/threads/_sidebar_item.html.
function busySign() {
  const sign = document.createElement("span");
  const said = document.createElement("span");
  sign.className = "busy";
  said.className = "for-readers";
  said.textContent = words.busy;
  sign.append(said);
  return sign;
}

const order = (item) => `${item.dataset.at} ${item.id}`;
const isNewer = (item, other) => order(item) > order(other);

// Moved, it keeps the focus.
function put(item, place = list.querySelector(":scope > .more")) {
  if (item === place || (item.isConnected && item.nextElementSibling === place)) return;
  const focused = document.activeElement;
  list.insertBefore(item, place);
  if (item.contains(focused)) focused.focus({ preventScroll: true });
}

// What loads on goes on after the last one shown.
function renewMore() {
  const more = list.querySelector(":scope > .more");
  const last = items().at(-1);
  if (!more || !last) return;
  const address = `/threads?before=${last.id.slice("thread-".length)}&at=${encodeURIComponent(last.dataset.at)}`;
  more.setAttribute("hx-get", address);
  more.querySelector("a").href = address;
}

// -- What was asked for -----------------------------------------------------------------------------------------------

htmx.registerExtension("sidebar", {
  init: (api) => {
    morphThread = api.morph;
  },
  htmx_before_swap: (element, { ctx, tasks }) => {
    if (element !== list && element.parentElement !== list) return;
    // An error is not shown in the place of the threads.
    if (ctx.response?.status >= 400) return void tasks.splice(0, tasks.length);
    // One that has been used since is further up already.
    for (const { fragment } of element === list ? [] : tasks) {
      for (const item of fragment.querySelectorAll(".thread-item")) document.getElementById(item.id)?.closest("#threads") && item.remove();
    }
  },
  handle_swap: (style, target, fragment) => (style === "threads" ? placeThreads(fragment) : false),
  htmx_finally_request: (element, { ctx }) => {
    if (element === list && ctx.response?.status === 204) isStale = false;
  },
});

// The newest threads come first; those that the reader loaded further down stay. What should stand among the newest but
// is not there any more was deleted.
function placeThreads(fragment) {
  const fresh = [...fragment.querySelectorAll(".thread-item")];
  const oldest = fragment.querySelector(".more") ? fresh.at(-1).dataset.at : "";
  const names = new Set(fresh.map((item) => item.id));
  for (const item of items()) if (item.dataset.at >= oldest && !names.has(item.id)) item.remove();
  isStale = false;
  const placed = [];
  for (const item of fresh) {
    const shown = document.getElementById(item.id);
    if (shown && isInUse(shown)) isStale = true;
    else {
      if (shown?.querySelector("a[aria-current]")) item.querySelector("a").setAttribute("aria-current", "page");
      if (shown) morphItem(shown, item);
      put(shown ?? item, placed.length ? placed.at(-1).nextElementSibling : list.firstElementChild);
    }
    placed.push(shown ?? item);
  }
  const more = fragment.querySelector(".more");
  if (more && !list.querySelector(":scope > .more") && items().length === fresh.length) list.append(more);
  renewMore();
  return placed;
}

function morphItem(shown, fresh) {
  const holder = document.createDocumentFragment();
  holder.append(fresh);
  morphThread(shown, holder, false);
}
