// The composer: send keys, a draft that the server keeps, a count near the limit, Stop, and text that is never lost.
//
// The composer is replaced when a send is refused, so everything here listens at the document.

const box = () => document.getElementById("text");
const form = () => document.getElementById("composer");
const words = document.getElementById("words").dataset;
const sendsWithEnter = document.documentElement.dataset.sendKey !== "ctrl-enter";

// -- Keys ------------------------------------------------------------------------------------------------------------

function isSending(event) {
  if (event.key !== "Enter") return false;
  const withControl = event.ctrlKey || event.metaKey;
  return withControl || (sendsWithEnter && !event.shiftKey && !event.altKey && !isTouch());
}

document.addEventListener("keydown", (event) => {
  if (event.target !== box() || !isSending(event)) return;
  event.preventDefault();
  // Spaces alone are sent too: the answer says what is missing.
  if (box().value) form().requestSubmit(form().querySelector(".send"));
});

// On a touch keyboard Enter is the only way to break a line, and Send is right beside it.
const isTouch = () => matchMedia("(hover: none) and (pointer: coarse)").matches;

document.addEventListener("click", (event) => {
  if (event.target.closest(".stop-answer")) stopAnswer();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented) return;
  // Escape closes what is open first; the browser does that for popovers and dialogs.
  if (document.querySelector(":popover-open, dialog[open], details:is(.item-menu, .account)[open]")) return;
  stopAnswer();
});

function stopAnswer() {
  const buttons = document.querySelectorAll("#messages .message .stop");
  buttons[buttons.length - 1]?.click();
}

// -- Size and count --------------------------------------------------------------------------------------------------

const growsByItself = CSS.supports("field-sizing", "content");

function fit() {
  const area = box();
  if (!area) return;
  if (!growsByItself) {
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight}px`;
  }
  const limit = Number(form().dataset.limit);
  // The server counts characters, not UTF-16 units; near the limit it is worth the exact count.
  const length = area.value.length > limit * 0.9 ? count(area.value) : area.value.length;
  const left = limit - length;
  const counter = form().querySelector(".counter");
  counter.classList.toggle("over", left < 0);
  counter.value = left > limit / 10 ? "" : counted(left < 0 ? "over" : "left", Math.abs(left));
  area.setCustomValidity(left < 0 ? counter.value : ""); // the browser says it, and sends nothing
}

function counted(name, amount) {
  const { lang, dataset } = document.documentElement;
  const form = new Intl.PluralRules(lang).select(amount) === "one" ? "One" : "Other";
  return words[name + form].replace("{}", new Intl.NumberFormat(dataset.locale).format(amount));
}

function count(text) {
  let characters = 0;
  for (const _character of text) characters += 1;
  return characters;
}

// -- The model that is picked ----------------------------------------------------------------------------------------

document.addEventListener("change", ({ target }) => {
  if (target.id !== "model") return;
  const says = document.getElementById("says");
  if (says) says.textContent = target.selectedOptions[0].dataset.says;
  mark(true);
  htmx.trigger(document.getElementById("picker"), "parley:catalog"); // whether it is loaded, and the way to load it
});

document.addEventListener("htmx:after:swap", (event) => {
  if (event.target.id !== "options-form") return;
  mark();
  document.querySelector("#options-form [aria-invalid]")?.focus();
});

// The options that the picked model does not take: what stands there is kept, and not sent.
function mark(isAnother) {
  const untaken = document.getElementById("model")?.selectedOptions[0]?.dataset.untaken.split(" ");
  if (!untaken) return;
  for (const field of document.querySelectorAll("#options-panel [data-parameter]")) {
    const isUntaken = untaken.includes(field.dataset.parameter);
    // What the page says of the model that it was drawn for stands until another one is picked.
    if (!isAnother && field.classList.contains("untaken") === isUntaken) continue;
    field.classList.toggle("untaken", isUntaken);
    field.querySelector(".hint").textContent = isUntaken ? words.untaken : "";
  }
}

// -- The draft -------------------------------------------------------------------------------------------------------

let timer;
let saving = null;
let saved = box()?.value;

document.addEventListener("input", (event) => {
  if (event.target !== box()) return;
  fit();
  clearTimeout(timer);
  timer = setTimeout(saveDraft, 400);
});

// A page that goes away takes its timers with it: what was typed in the last moment is sent along.
addEventListener("pagehide", () => {
  if (timer && !isSubmitting) saveDraft({ keepalive: true });
  // Who has to sign in again is told that it is kept: see data-kept in page.js.
  sessionStorage.setItem("wrote", box()?.value.trim() && !isSubmitting ? "yes" : "");
});

function saveDraft({ keepalive = false } = {}) {
  clearTimeout(timer);
  timer = undefined;
  const text = box().value;
  if (text === saved) return;
  if (box().validity.customError) return keep(text); // too long for the server, and not to be lost
  saving?.abort();
  const sending = (saving = new AbortController());
  return fetch(form().dataset.draft, {
    method: "PUT",
    headers: { "X-CSRF-Token": form().elements._csrf.value },
    body: new URLSearchParams({ text, request_id: requestOf() }),
    // Browsers carry at most 64 KiB for a page that has gone.
    keepalive: keepalive && text.length < 20_000,
    signal: sending.signal,
  })
    .then((response) => {
      if (response.status !== 204) return keep(text); // signed out elsewhere, or out of order
      saved = text;
      release();
    })
    .catch(() => saving === sending && keep(text)) // the next change tries again, and the text is still here
    .finally(() => {
      if (saving === sending) saving = null;
    });
}

// A link that leads to this page again (another preset): the text is there before the page is drawn anew.
document.addEventListener("click", async (event) => {
  const link = event.target.closest?.("a[data-keeps-draft]");
  if (!link || box().value === saved || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  await saveDraft();
  location.assign(link.href);
});

// -- What the server could not keep: this tab does, until it is sent ---------------------------------------------------

const key = () => `unsent:${form().dataset.writer}:${form().dataset.draft}`;
const requestOf = () => form().elements.request_id.value;

function keep(text) {
  if (!text.trim()) return release();
  try {
    sessionStorage.setItem(key(), JSON.stringify({ text, request: requestOf() }));
  } catch {
    // A tab holds about five million characters; what is longer stays in the box alone.
  }
}

const release = () => sessionStorage.removeItem(key());

function putBack() {
  const kept = JSON.parse(sessionStorage.getItem(key()));
  if (!kept) return;
  // It may have been taken after all, and only the answer was lost: a new thread bears the id of its request.
  const question = [...document.querySelectorAll("article.user > .body")].at(-1)?.textContent;
  if (question === kept.text || document.getElementById(`thread-${kept.request}`)) return release();
  const area = box();
  area.value = kept.text.startsWith(area.value) ? kept.text : `${area.value}\n${kept.text}`;
  saveDraft();
}

// The thread that a new-thread page made: nothing of that page's is unsent any more, and going back finds a fresh one.
const begun = document.getElementById("thread")?.dataset.thread;
if (begun) {
  const start = `unsent:${form().dataset.writer}:/draft`;
  if (JSON.parse(sessionStorage.getItem(start))?.request === begun) {
    sessionStorage.removeItem(start);
    sessionStorage.setItem("begun", begun);
  }
}

addEventListener("pageshow", ({ persisted }) => {
  if (persisted && form() && requestOf() === sessionStorage.getItem("begun")) location.reload();
});

// -- Sending ---------------------------------------------------------------------------------------------------------

let isSubmitting = false;
addEventListener("pageshow", () => (isSubmitting = false));

document.addEventListener("submit", (event) => {
  if (event.target !== form()) return;
  clearTimeout(timer);
  timer = undefined;
  isSubmitting = !form().hasAttribute("hx-post");
  keep(box().value);
});

// The box empties at once, and what is typed while the question travels belongs to the next one.
document.addEventListener("htmx:before:request", (event) => {
  const { ctx } = event.detail;
  if (ctx.sourceElement !== form()) return;
  const area = box();
  ctx.sent = { area, text: area.value, draftWasTravelling: saving !== null };
  saving?.abort();
  area.value = "";
  saved = "";
  fit();
});

document.addEventListener("htmx:finally:request", (event) => {
  const { sent, response } = event.detail.ctx;
  if (!sent) return;
  const typed = sent.area.value;
  const area = box();
  isTooEarly = response?.status === 409;
  if (response?.status < 400) {
    release();
    forgive();
  } else if (area === sent.area) area.value = sent.text + (typed && `\n${typed}`); // not taken, or no answer: everything is back
  else area.value += typed && `\n${typed}`; // the server sent it back with what is wrong
  fit();
  // A draft that was under way may arrive after the send and bring the old text back: the last word is ours.
  saved = sent.draftWasTravelling ? undefined : saved;
  if (sent.draftWasTravelling || area.value) saveDraft();
  goOn();
});

// A question that came while an answer was being written can be sent once that is over.
let isTooEarly = false;
document.addEventListener("parley:answered", () => isTooEarly && forgive());

// What was wrong with an earlier send is over.
function forgive() {
  for (const error of form().querySelectorAll(".error")) error.remove();
  for (const control of form().querySelectorAll("[aria-invalid]")) {
    control.removeAttribute("aria-invalid");
    control.removeAttribute("aria-describedby");
  }
}

// A text that comes from the server is gone on with at its end.
function goOn() {
  const end = box()?.value.length;
  box()?.setSelectionRange(end, end);
}

putBack();
mark();
fit();
goOn();
