// Slash-prompts: "/" at the beginning of a message opens a menu above the composer. Part of composer.js: see BUNDLES in
// controllers/static.py. The server says what is in the menu, asks for what a text needs, and sends the finished text.
//
// The focus stays in the box. It is a textbox, to which ARIA gives no aria-expanded: a live region says what has opened.

const menu = () => document.getElementById("slash-menu");
const choices = () => [...menu().querySelectorAll('[role="option"]:not([hidden])')];
const isOpen = () => menu()?.hidden === false;

// A name is being typed; it was waved away until another one is begun; the slash is not the person's own.
let isLooking = false;
let isDismissed = false;
let isLent = false;

// What was typed of a name: from the slash at the very beginning to the caret; null where there is none.
function typedName() {
  const before = box().value.slice(0, box().selectionStart);
  return /^\/[^\s/]*$/.test(before) ? before.slice(1).toLowerCase() : null;
}

document.addEventListener("input", ({ target, isComposing }) => {
  if (target !== box() || isComposing || isPutting) return;
  if (typedName() === null) {
    isDismissed = isLent = false;
    return leave();
  }
  if (isDismissed) return;
  if (isLooking) return find();
  isLooking = true;
  menu().replaceChildren();
  htmx.trigger(menu(), "parley:slash");
});

document.addEventListener("htmx:after:swap", ({ target }) => {
  if (target === menu()) find();
  if (target.id === "dialog") target.querySelector(".slash-fields [aria-invalid]")?.focus();
});

// Where nothing fits there is no menu: what stands in the box is a message like any other.
function find() {
  const name = typedName();
  const all = [...menu().querySelectorAll('[role="option"]')];
  if (!isLooking || name === null || !menu().childElementCount) return;
  for (const choice of all) choice.hidden = !choice.dataset.name.includes(name);
  const shown = choices();
  menu().hidden = all.length > 0 && !shown.length;
  point(shown.find((choice) => choice.dataset.name.startsWith(name)) ?? shown[0]);
  menu().querySelector('[role="status"]').textContent = shown.length ? `${shown.length} ${words.slash}` : "";
}

function point(choice) {
  for (const other of menu().querySelectorAll('[aria-selected="true"]')) other.setAttribute("aria-selected", "false");
  for (const name of ["aria-autocomplete", "aria-controls", "aria-activedescendant"]) box().removeAttribute(name);
  if (!choice || !isOpen()) return;
  choice.setAttribute("aria-selected", "true");
  choice.scrollIntoView({ block: "nearest" });
  box().setAttribute("aria-autocomplete", "list");
  box().setAttribute("aria-controls", "slash-list");
  box().setAttribute("aria-activedescendant", choice.id);
}

function leave() {
  if (!isLooking) return;
  isLooking = false;
  menu().hidden = true;
  point();
  if (isLent && typedName() === "") box().value = box().value.slice(1);
  isLent = false;
}

// Before anybody else: Enter in the menu sends nothing, Escape stops nothing.
document.addEventListener("keydown", (event) => {
  if (event.target !== box() || !isOpen() || event.ctrlKey || event.metaKey || event.altKey) return;
  const shown = choices();
  const here = shown.findIndex((choice) => choice.ariaSelected === "true");
  if (event.key === "Escape") {
    isDismissed = true;
    leave();
  } else if (!shown.length) return;
  else if (event.key === "ArrowDown") point(shown[(here + 1) % shown.length]);
  else if (event.key === "ArrowUp") point(shown.at(here - 1));
  else if (event.key === "Enter" && !event.shiftKey) shown[here].click();
  else return;
  event.preventDefault();
  event.stopPropagation();
}, true);

// -- Mouse and touch -------------------------------------------------------------------------------------------------

document.addEventListener("mousedown", (event) => {
  if (event.target.closest?.("#slash-menu, .slash-opener")) event.preventDefault(); // the focus stays in the box
});

document.addEventListener("focusout", ({ target }) => target === box() && leave());

document.addEventListener("click", (event) => {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (event.target.closest?.('#slash-menu [role="option"]')) return take();
  if (!event.target.closest?.(".slash-opener")) return;
  event.preventDefault();
  if (isOpen()) return leave();
  const area = box();
  area.focus();
  isDismissed = false;
  isLent = !area.value.startsWith("/");
  if (isLent) area.value = `/${area.value}`;
  area.setSelectionRange(1, 1);
  area.dispatchEvent(new Event("input", { bubbles: true }));
});

// -- What was chosen -------------------------------------------------------------------------------------------------

// What stands in the box in the text's place until it comes.
let typed = "";
let isPutting = false;

function take() {
  typed = box().value.slice(0, box().selectionStart);
  isLent = false;
  isDismissed = true;
  leave();
}

const finished = document.getElementById("slash-text");

if (finished) new MutationObserver(put).observe(finished, { childList: true });

function put() {
  const text = finished.textContent;
  if (!text) return;
  finished.replaceChildren();
  const dialog = document.getElementById("dialog");
  dialog.replaceChildren(); // what has no content is not opened again (see page.js)
  dialog.close();
  const area = box();
  const rest = (area.value.startsWith(typed) ? area.value.slice(typed.length) : area.value).trim();
  area.value = rest ? `${text}\n\n${rest}` : text;
  area.focus();
  area.setSelectionRange(text.length, text.length);
  isPutting = true;
  area.dispatchEvent(new Event("input", { bubbles: true }));
  isPutting = false;
  isDismissed = false;
}
