// What every page does: the reader's own times and numbers, shortcuts, and keeping the place. What else it does stands in
// files of their own, which are served as one with this: see BUNDLES in controllers/static.py.

const words = document.getElementById("words").dataset;
const main = document.getElementById("main");
const log = document.getElementById("messages");
const language = readersLanguage();

// -- Times and numbers, as the reader writes them --------------------------------------------------------------------

// The page's language, with the region that the reader's browser says. composer.js reads it from the page.
function readersLanguage() {
  const { lang, dataset } = document.documentElement;
  const own = new Intl.Locale(navigator.language);
  if (own.language === lang) dataset.locale = navigator.language;
  else dataset.locale = !dataset.language && own.region ? `${lang}-${own.region}` : lang;
  return dataset.locale;
}

const MOMENTS = {
  time: { timeStyle: "short" },
  day: { month: "short", day: "numeric", hour: "numeric", minute: "2-digit" },
  year: { dateStyle: "medium" },
  exact: { dateStyle: "full", timeStyle: "long" },
};
const formats = {}; // made when they are wanted: the first one reads tables for some 20 ms

const moment = (name, date) => (formats[name] ??= new Intl.DateTimeFormat(language, MOMENTS[name])).format(date);
const number = (value, digits) => (formats[digits] ??= new Intl.NumberFormat(language, { maximumFractionDigits: digits })).format(value);

// As html/filters.py writes them, in the reader's figures: a narrow space between a number and its unit.
const seconds = (amount) => `${number(amount, amount < 9.95 ? 1 : 0)}\u202fs`;

function duration(milliseconds) {
  if (milliseconds < 100) return `${number(milliseconds, 0)}\u202fms`;
  if (milliseconds < 59_500) return seconds(milliseconds / 1000);
  const whole = Math.round(milliseconds / 1000);
  return `${number(Math.floor(whole / 60), 0)}\u202fmin ${seconds(whole % 60)}`;
}

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let amount = bytes;
  let step = 0;
  for (; amount >= 999.5 && step < 4; step += 1) amount /= 1000;
  return `${number(amount, step && amount < 99.95 ? 1 : 0)}\u202f${units[step]}`;
}

// Small amounts with two digits that say something.
function dollars(amount) {
  const digits = amount > 0 && amount < 1 ? Math.min(12, Math.max(2, 1 - Math.floor(Math.log10(amount)))) : 2;
  const options = { style: "currency", currency: "USD", minimumFractionDigits: 2, maximumFractionDigits: digits };
  return new Intl.NumberFormat(language, options).format(amount);
}

const write = { number: (value) => number(value, 1), duration, bytes: size, dollars };

function shortly(date) {
  const now = new Date();
  const isToday = date.toDateString() === now.toDateString();
  const isThisYear = date.getFullYear() === now.getFullYear();
  return moment(isToday ? "time" : isThisYear ? "day" : "year", date);
}

function localise(root) {
  for (const element of root.querySelectorAll("time[datetime]:not([title])")) {
    const date = new Date(element.dateTime);
    element.title = moment("exact", date);
    element.textContent = shortly(date);
  }
  for (const option of root.querySelectorAll("option[data-since]")) {
    option.textContent = option.textContent.replace(/\d{4}-\d\d-\d\d \d\d:\d\d UTC/, () => shortly(new Date(option.dataset.since)));
  }
  for (const element of root.querySelectorAll("data[data-as]")) {
    element.textContent = write[element.dataset.as](Number(element.value));
  }
}

// -- Waiting: seconds counted from what the server said, so that the two clocks need not agree -------------------------

const since = new WeakMap(); // element → what the server said of its wait, and when that began
let ticking;
let drawn = performance.getEntriesByType("navigation")[0]?.responseStart; // what stands here before the page is loaded

function tick() {
  const waiting = document.querySelectorAll("[data-waits], [data-retries]");
  for (const element of waiting) {
    const { waits, retries, at, label, done } = element.dataset;
    const said = `${waits} ${retries} ${at}`; // morphing keeps the element, and another pause is another wait
    if (since.get(element)?.said !== said) since.set(element, { said, began: (drawn ?? performance.now()) - Number(waits ?? -retries) * 1000 });
    const passed = (performance.now() - since.get(element).began) / 1000;
    if (retries) element.textContent = passed < 0 ? label.replace("{}", seconds(Math.ceil(-passed))) : done;
    else {
      element.dataset.label ??= element.textContent;
      if (passed >= 1) element.textContent = `${element.dataset.label} · ${seconds(Math.floor(passed))}`;
    }
  }
  if (!waiting.length) {
    clearInterval(ticking);
    ticking = undefined;
  }
}

function refresh(root) {
  localise(root);
  if (!ticking && document.querySelector("[data-waits], [data-retries]")) ticking = setInterval(tick, 1000);
  tick();
}

// At first when the page can be used already; until then it shows them as they were sent.
addEventListener("load", () => setTimeout(() => {
  refresh(document.body);
  drawn = undefined;
}));
document.addEventListener("htmx:after:process", (event) => document.readyState === "complete" && refresh(event.target));

// -- Keys ------------------------------------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") return closeMenus(event);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  const act = keys[event.key];
  if (!act || document.querySelector(event.key === "?" ? "dialog[open]" : "dialog[open], :popover-open")) return;
  event.preventDefault();
  act();
});

const keys = {
  "?": () => document.getElementById("shortcuts")?.togglePopover(),
  "/": () => document.getElementById("text")?.focus(),
  j: () => step(1),
  k: () => step(-1),
  End: () => toEnd(),
};

function step(direction) {
  const articles = [...document.querySelectorAll("article.message")];
  const here = articles.indexOf(document.activeElement?.closest("article.message"));
  const next = here < 0 ? articles.at(-1) : articles[here + direction];
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: "nearest" });
}

const MENUS = "details:is(.item-menu, .account)[open]";

function closeMenus(event) {
  const open = document.querySelector(MENUS);
  if (!open || dialog?.open) return;
  event.preventDefault();
  open.open = false;
  open.querySelector("summary").focus();
}

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll(MENUS)) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("toggle", (event) => {
  if (!event.target.matches?.("details.item-menu[open]")) return;
  const field = event.target.querySelector('[name="title"]');
  if (matchMedia("(hover: hover)").matches) field?.focus();
  field?.select();
}, true);

// -- A theme is seen while it is being chosen; Save keeps it -----------------------------------------------------------

document.addEventListener("change", (event) => {
  if (event.target.id === "theme") document.documentElement.dataset.theme = event.target.value;
});

// -- Dialogs and failures --------------------------------------------------------------------------------------------

const dialog = document.getElementById("dialog");
let shown; // what it was opened for: it is emptied a moment after it closes, and frames of an answer come in between

document.addEventListener("htmx:after:swap", (event) => {
  const before = shown;
  shown = dialog?.firstElementChild;
  if (shown && shown !== before && !dialog.open) {
    for (const menu of document.querySelectorAll(MENUS)) menu.open = false;
    dialog.showModal();
  }
  // What the person did worked; what the stream brings says nothing about what failed.
  const { sourceElement, response } = event.detail.ctx;
  if (response?.status < 400 && !["thread", "messages", "threads", "picker", "status", "palette-text"].includes(sourceElement?.id)) forget();
});

dialog?.addEventListener("close", () => dialog.replaceChildren());
dialog?.addEventListener("click", (event) => {
  if (event.target !== dialog && !event.target.closest("[data-close]")) return;
  event.preventDefault();
  dialog.close();
});

document.addEventListener("htmx:finally:request", (event) => {
  const { ctx } = event.detail;
  const menu = ctx.sourceElement?.closest?.(".rename")?.closest("details");
  if (menu && ctx.response?.status < 400) {
    menu.open = false;
    if (document.activeElement === document.body || menu.contains(document.activeElement)) menu.querySelector("summary").focus();
  }
  if (ctx.sourceElement?.id === "options" && ctx.response?.status < 400) {
    document.getElementById("options-panel").hidePopover();
    for (const animation of document.getElementById("flash").getAnimations()) animation.currentTime = 0;
  }
  const id = ctx.sourceElement?.dataset?.deletes;
  if (!id || !(ctx.response?.status < 400)) return;
  dialog.close();
  document.getElementById(`thread-${id}`)?.remove();
  if (location.pathname === `/threads/${id}`) location.assign("/");
});

const notice = document.getElementById("notice");
const notify = (sentence) => {
  delete notice.dataset.good;
  notice.textContent = sentence;
};
const forget = () => notice.replaceChildren();

document.querySelector("[data-forget]").addEventListener("click", forget);

// Once Parley can be reached again, it is not said any more that it cannot.
for (const sign of ["online", "htmx:sse:after:connection"]) {
  addEventListener(sign, () => {
    if (notice.textContent === words.away) forget();
  });
}

// Who has to sign in again and wrote something is told that it is kept.
const isWritten = () => sessionStorage.getItem("wrote") || Object.keys(sessionStorage).some((key) => key.startsWith("unsent:"));
for (const kept of document.querySelectorAll("[data-kept]")) kept.hidden = !isWritten();

// What was kept of this person's words (see composer.js) is not for whoever signs in next.
document.addEventListener("submit", ({ target }) => {
  if (target.getAttribute("action") !== "/sign-out") return;
  for (const key of Object.keys(sessionStorage)) if (key.startsWith("unsent:")) sessionStorage.removeItem(key);
});

document.addEventListener("htmx:error", (event) => {
  if (!["thread", "threads"].includes(event.detail.ctx?.sourceElement?.id)) notify(words.away);
});

// Our own errors bring their sentence along; what a proxy in between says is not for people.
document.addEventListener("htmx:response:error", (event) => {
  if (!/<hx-partial|<form|<div/.test(event.detail.ctx.text)) notify(words.failed);
});

// -- What is drawn anew every few seconds is not while nobody sees it ---------------------------------------------------

document.addEventListener("every", (event) => document.hidden && event.stopImmediatePropagation(), true);

// -- Keeping the place -----------------------------------------------------------------------------------------------

// A thread is laid out from its end (see thread.css): 0 is the end, above it is negative. The browser stays at the end by
// itself, and earlier messages load above without moving anything.
const toEndButton = document.getElementById("to-end");

function toEnd() {
  main.scrollTop = main.classList.contains("from-the-end") ? 0 : main.scrollHeight;
}

if (toEndButton) {
  let isAtEnd = true;
  const show = () => {
    isAtEnd = main.scrollTop > -80;
    toEndButton.hidden = isAtEnd;
    if (isAtEnd) delete toEndButton.dataset.fresh;
  };
  main.addEventListener("scroll", show, { passive: true });
  toEndButton.addEventListener("click", toEnd);
  document.addEventListener("htmx:before:request", (event) => {
    if (event.detail.ctx.sourceElement.id === "composer") toEnd();
  });

  // While the reader is further up, what grows below must not move what they read. Safari does not anchor by itself. At the
  // end nothing is measured: to ask for a height lays the page out once more for each frame. New is what the last message
  // gained, and what follows it: not earlier messages, another branch, or the figures of an answer that is over.
  let height = 0;
  let [last, length] = [undefined, 0];
  const anchors = CSS.supports("overflow-anchor", "auto");
  const end = () => log?.querySelector(":scope > article:last-of-type");
  const lengthOf = (article) => article?.querySelector(".body")?.textContent.length ?? 0;
  const before = () => {
    if (isAtEnd) return;
    height = main.scrollHeight;
    last = end();
    length = lengthOf(last);
  };
  const after = () => {
    if (isAtEnd || !last?.isConnected) return;
    if (lengthOf(last) <= length && end() === last) return;
    if (!anchors) main.scrollTop -= main.scrollHeight - height;
    toEndButton.dataset.fresh = "";
  };
  for (const sign of ["htmx:before:swap", "parley:grows"]) document.addEventListener(sign, before);
  for (const sign of ["htmx:after:swap", "parley:grown"]) document.addEventListener(sign, after);
}
