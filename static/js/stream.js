// The live page: what the event stream of the open thread says becomes what the page shows.
//
// The page must end up as a reload would draw it, whatever was lost, doubled or late on the way. Three rules do that:
//   1. A frame is applied only to the text it was made for (FROM); anything else fetches the message anew.
//   2. Everything fetched is put in its place by id and depth, so fetching twice is the same as fetching once.
//   3. htmx does all the fetching (it checks nonces and Trusted Types); the stream waits until a fetch is shown.

const log = () => document.getElementById("messages");
const thread = () => document.getElementById("thread");
const articleOf = (id) => document.getElementById(`message-${id}`);

// -- Which changes are newer than which ------------------------------------------------------------------------------

// The answer to a click may be overtaken by the stream: sent before, shown after. Then it would set a finished answer
// back to a waiting one, and no event would ever mend it. So every request remembers when it left, every message when the
// stream last changed it, and a message that the stream changed since is left alone.
let clock = 0;
const touched = new Map();
const touch = (id) => touched.set(id, ++clock);

const inThread = (element) => element === log() || log()?.contains(element);

// What this page sends is answered with the turn that the stream announces too, mostly a little earlier. The stream waits
// for that answer, though not for ever: then the turn need not be fetched as well.
let sending = Promise.resolve();
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

let morph;

htmx.registerExtension("parley", {
  init: (api) => {
    morph = api.morph;
  },
  htmx_before_request: (element, { ctx }) => {
    ctx.leftAt = clock;
    if (element.id === "composer") sending = Promise.race([new Promise((resolve) => (ctx.isOver = resolve)), pause(1000)]);
  },
  htmx_finally_request: (_element, { ctx }) => {
    ctx.isOver?.();
  },
  htmx_before_swap: (_element, { ctx, tasks }) => {
    for (const task of tasks) {
      task.swapSpec.leftAt = ctx.leftAt;
      muteFrames(task.fragment);
    }
    // htmx shows error answers too: never one in the place of the messages.
    const isError = ctx.response?.status >= 400;
    if (isError) tasks.splice(0, tasks.length, ...tasks.filter((task) => task.type !== "main" || !inThread(task.target)));
  },
  handle_swap: (style, target, fragment, spec) => {
    return style === "turn" ? placeMessages(target, fragment, spec.leftAt ?? clock) : false;
  },
});

// htmx parses answers as a page without scripts would: what stands in a <noscript> becomes elements, and the frame in it
// would load. As text it is what it is on a page that was loaded.
function muteFrames(fragment) {
  for (const element of fragment.querySelectorAll("noscript")) element.textContent = element.innerHTML;
}

// Puts every message of the fragment where it belongs: over itself if it is there, else by its depth. A page shows one
// branch, so another message at that depth (an answer tried again) goes away with all that followed it.
function placeMessages(target, fragment, leftAt) {
  const placed = [];
  for (const fresh of [...fragment.querySelectorAll("article[data-message]")]) {
    const id = fresh.dataset.message;
    const shown = articleOf(id);
    if (shown && (touched.get(id) ?? 0) > leftAt) continue;
    if (shown) {
      replace(shown, fresh);
      placed.push(shown);
      continue;
    }
    const depth = Number(fresh.dataset.depth);
    const articles = [...target.querySelectorAll(":scope > article[data-message]")];
    if (articles.some((other) => Number(other.dataset.depth) === depth)) {
      for (const other of articles) if (Number(other.dataset.depth) >= depth) other.remove();
    }
    const next = articles.find((other) => other.isConnected && Number(other.dataset.depth) > depth);
    target.insertBefore(fresh, next ?? null);
    placed.push(fresh);
  }
  return placed;
}

// Morphing keeps focus, selection and opened details where the text is the same.
function replace(shown, fresh) {
  const holder = document.createDocumentFragment();
  holder.append(fresh);
  morph(shown, holder, false);
}

// -- Fetching --------------------------------------------------------------------------------------------------------

// One after the other: htmx queues at most one request per element and drops the rest.
let last = Promise.resolve();

function fetchInto(target, address, swap) {
  const run = () => htmx.ajax("GET", address, { source: target, target, swap, timeout: 0, fetch: persistently });
  last = last.then(run, run);
  return last;
}

// An event is told once. If what it announces cannot be fetched now (a restart, a tunnel), the stream waits and tries on:
// to give up at once would leave an answer "running" for ever.
async function persistently(address, request) {
  for (let wait = 250; ; wait *= 2) {
    try {
      const response = await fetch(address, request);
      if (response.status < 500 || wait > 16_000) return response;
    } catch (error) {
      if (wait > 16_000) throw error;
    }
    await pause(wait);
  }
}

const threadAddress = () => `/threads/${thread().dataset.thread}/messages`;
const fetchMessage = (id) => fetchInto(log(), `/messages/${id}`, "turn");
const fetchWindow = () => fetchInto(log(), threadAddress(), "innerMorph");

function fetchAfter(parent) {
  const known = parent && articleOf(parent) ? parent : log().querySelector(":scope > article:last-of-type")?.dataset.message;
  return known ? fetchInto(log(), `${threadAddress()}?after=${known}`, "turn") : fetchWindow();
}

// -- Frames of running answers: `id` ends in x.FROM.TO ---------------------------------------------------------------

const parse = (id) => /([0-9a-z]+)\.(\d+)\.(\d+)$/i.exec(id ?? "");

// Returns what has to be fetched instead of applying the frame, null if it is shown already, undefined to apply it.
function checkFrame(id) {
  const found = parse(id);
  if (!found) return undefined;
  const [, short, from, to] = found;
  const article = log().querySelector(`:scope > article[data-short="${short}"]`);
  if (!article) return () => fetchAfter(null); // the event that announced it was lost, or another branch is shown
  const tail = document.getElementById(`t-${short}`);
  const seen = tail ? Number(tail.dataset.seq) : article.dataset.status === "running" || article.dataset.status === "queued" ? -1 : Infinity;
  if (seen === Number(from)) return undefined;
  if (seen >= Number(to)) return null; // sent twice, or the page was drawn after it
  touch(article.dataset.message);
  return () => fetchMessage(article.dataset.message); // a gap, or half of it is shown
}

// Most frames add words to the end of a paragraph, fifty times a second. That is done here: a swap (parsing, classes that come
// and go, a place for what is kept) would be most of the work. What has neither tags nor entities in it is text as it stands.
const WORDS = /^<hx-partial hx-target=(?:"([^"]+)"|([^\s>]+)) hx-swap=append>([^<&]+)<\/hx-partial>$/;

function addWords({ data, id }) {
  const [, path, selector, words] = WORDS.exec(data) ?? [];
  const target = words && document.querySelector(path ?? selector);
  if (!target) return false;
  document.dispatchEvent(new Event("parley:grows"));
  if (target.lastChild?.nodeType === Node.TEXT_NODE) target.lastChild.appendData(words);
  else target.append(words);
  document.dispatchEvent(new Event("parley:grown"));
  note(id);
  return true;
}

// How far the answer is shown now.
function note(id) {
  const [, short, , to] = parse(id) ?? [];
  const tail = short && document.getElementById(`t-${short}`);
  if (tail) tail.dataset.seq = to;
  const article = tail?.closest("article");
  if (article) touch(article.dataset.message);
}

document.addEventListener("htmx:sse:before:message", (event) => {
  const { message, waitUntil } = event.detail;
  if (message.event) {
    const work = named[message.event]?.(JSON.parse(message.data || "null"));
    if (work) waitUntil(work.catch(() => {}));
    return;
  }
  const instead = checkFrame(message.id);
  if (instead === undefined && !addWords(message)) return;
  event.preventDefault();
  if (instead) waitUntil(instead().catch(() => {}));
});

document.addEventListener("htmx:sse:after:message", ({ detail: { message } }) => message.event || note(message.id));

// -- Events ----------------------------------------------------------------------------------------------------------

// Who signs out or deletes here is on the way to another page already: a second navigation would break the first off.
let isLeaving = false;
addEventListener("beforeunload", () => (isLeaving = true));

const named = {
  async turn({ messages, parent }) {
    messages.forEach(touch);
    if (!messages.every(articleOf)) await sending;
    if (!messages.every(articleOf)) await fetchAfter(parent);
  },
  async message({ message }) {
    touch(message);
    await fetchMessage(message);
    if (articleOf(message)?.dataset.status !== "running") document.dispatchEvent(new Event("parley:answered"));
    // Nobody could be asked. Who is down may have been told before this page listened: the list of models asks.
    if (articleOf(message)?.querySelector(".problem.away")) htmx.trigger(document.getElementById("picker"), "parley:catalog");
  },
  branch() {
    return fetchWindow();
  },
  title({ thread: id, title }) {
    const shown = title || document.getElementById("words").dataset.untitled;
    for (const element of document.querySelectorAll(`[data-title-of="${CSS.escape(id)}"]`)) {
      const menu = element.closest("li")?.querySelector("summary");
      if (menu) menu.ariaLabel = menu.ariaLabel.replace(element.textContent, () => shown);
      element.textContent = shown;
    }
    for (const field of document.querySelectorAll(`.rename[action^="/threads/${CSS.escape(id)}?"] [name="title"]`)) {
      if (field !== document.activeElement) field.defaultValue = title;
    }
    if (id === thread().dataset.thread) document.title = document.title.replace(/^.*(?= · )/s, () => shown);
  },
  catalog() {
    askForCatalog();
  },
  gone() {
    const isDeleting = document.querySelector(`form.htmx-request[data-deletes="${thread().dataset.thread}"]`);
    if (!isLeaving && !isDeleting) location.assign("/");
  },
  signed_out() {
    if (!isLeaving) location.reload();
  },
};

// -- The connection --------------------------------------------------------------------------------------------------

// hx-sse comes back by itself once it was connected; a page whose very first try failed has to be told.
let retry;
let delay = 500;
document.addEventListener("htmx:finally:request", (event) => {
  const element = event.target;
  if (element.id !== "thread" || element._htmx?.sse || event.detail.ctx.extensionPromise) return;
  const status = event.detail.ctx.response?.status;
  if (askAgain(status)) return;
  if (status === TOO_MANY) {
    sayDisconnected(status);
    delay = 30_000; // tabs are closed by hand
  }
  clearTimeout(retry);
  retry = setTimeout(() => htmx.trigger(element, "parley:connect"), delay);
  delay = Math.min(delay * 2, 30_000);
});

// Signed out, or the thread is gone: a reload says which, and where to go on. Not twice within a minute, so that a proxy
// that lets pages through and streams not cannot make the page reload for ever.
function askAgain(status) {
  const lately = Date.now() - Number(sessionStorage.getItem("asked-again") ?? 0) < 60_000;
  if (![401, 403, 404].includes(status) || lately) return false;
  sessionStorage.setItem("asked-again", Date.now());
  location.reload();
  return true;
}

// Every open page hears of the same change at once: they do not all ask at once. News that were told while this page was
// not connected are lost, so it asks when it is connected again.
let isAgain = false;
const askForCatalog = () => setTimeout(() => {
  htmx.trigger(document.getElementById("picker"), "parley:catalog");
  // What nobody could answer is drawn with whether somebody can now.
  for (const waiting of log().querySelectorAll(".problem:is(.away, .all-down)")) fetchMessage(waiting.closest("article").dataset.message);
}, 1500 * Math.random());

document.addEventListener("htmx:sse:after:connection", () => {
  if (isAgain) askForCatalog();
  isAgain = true;
  delay = 500;
  document.getElementById("connection").textContent = "";
});

document.addEventListener("htmx:sse:error", (event) => {
  if (askAgain(event.detail.status)) return;
  sayDisconnected(event.detail.status);
});

// This person has more pages open than are kept up to date.
const TOO_MANY = 429;

function sayDisconnected(status) {
  const { crowded, offline } = document.getElementById("words").dataset;
  document.getElementById("connection").textContent = status === TOO_MANY ? crowded : offline;
}
