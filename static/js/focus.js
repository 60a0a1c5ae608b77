// Where the focus is: inside what is open, and never lost with what had it. Part of page.js: see BUNDLES in
// controllers/static.py.

// -- What opens takes the focus; a sheet keeps it, as a dialog would: everything beside it is inert until it closes ------

let held = [];

document.addEventListener("toggle", ({ target, newState }) => {
  if (newState !== "open" || !target.matches("[popover]:popover-open")) return;
  if (target.matches(".sheet")) hold(target);
  if (target.contains(document.activeElement)) return;
  const first = target.querySelector("h2") ?? target.querySelector("button, a");
  if (first.matches("h2")) first.tabIndex = -1;
  first.focus({ preventScroll: true });
}, true);

// Before it closes, so that the browser can give the focus back.
document.addEventListener("beforetoggle", ({ target, newState }) => {
  if (newState !== "closed" || !target.matches("[popover]")) return;
  for (const element of held) element.inert = false;
  held = [];
  for (const open of document.querySelectorAll(".sheet:popover-open")) if (open !== target) hold(open);
}, true);

function hold(panel) {
  for (let inner = panel; inner !== document.body; inner = inner.parentElement) {
    for (const beside of inner.parentElement.children) {
      if (beside === inner || beside.inert || beside.matches("dialog, .toast, :popover-open")) continue;
      beside.inert = true;
      held.push(beside);
    }
  }
}

// -- What had the focus goes away with its message (an answer tried again, another branch) or hides (Stop) ---------------

// The focus stays at that place of the thread, at the same button if there is one.
let place;
// A frame of an answer hides nothing, and fifty a second come: whether something is seen cannot be asked without a layout.
let isFrame;

const nameOf = (element) => element.ariaLabel ?? element.textContent.trim();

document.addEventListener("htmx:before:swap", ({ detail }) => {
  isFrame = detail.ctx.sourceElement?.id === "thread";
  const focused = document.activeElement;
  const article = log?.contains(focused) && focused.closest("article");
  if (article) place = { depth: article.dataset.depth, name: focused === article ? "" : nameOf(focused) };
  else place = focused?.closest("#composer") ? { isComposer: true } : undefined;
});

document.addEventListener("htmx:after:swap", () => {
  if (!place || !isLost(document.activeElement)) return;
  const area = document.getElementById("text");
  // On a touch screen the focus in a field would open the keyboard.
  if (place.isComposer && matchMedia("(hover: hover)").matches) return area?.focus({ preventScroll: true });
  const articles = [...log.querySelectorAll(":scope > article")];
  const article = articles.find((one) => one.dataset.depth === place.depth) ?? articles.at(-1);
  const buttons = place.name ? [...(article?.querySelectorAll("button:enabled") ?? [])] : [];
  const same = buttons.find((button) => nameOf(button) === place.name && !isLost(button));
  (same ?? article)?.focus({ preventScroll: true });
});

// The browser takes the focus from what is hidden or disabled only a moment later.
function isLost(element) {
  return !element || element === document.body || element.disabled === true || (!isFrame && element.checkVisibility?.() === false);
}
