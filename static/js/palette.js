// The palette: Ctrl-K or the sidebar's Search. What it finds are threads, which the server looks for, and every place that
// the sidebar leads to. Part of page.js: see BUNDLES in controllers/static.py.

const palette = document.getElementById("palette");
const sought = document.getElementById("palette-text");
let shownFor; // the text that what is shown was found for
let goesAtOnce = false; // Enter was pressed before it was found

const PLACES = "#sidebar > .new-thread, #sidebar .account :is(a, button), #composer [popovertarget='options-panel']";
const choices = () => [...palette.querySelectorAll('[role="option"]:not([hidden])')];
const chosen = () => palette.querySelector('[aria-selected="true"]');

if (palette) {
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (palette.open) palette.close();
    else if (!document.querySelector("dialog[open]")) openPalette();
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".search-threads") || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    openPalette();
  });
  palette.addEventListener("click", ({ target }) => {
    if (target === palette || target.closest('[role="option"]')) palette.close();
  });
  palette.addEventListener("keydown", steer);
  palette.addEventListener("close", () => (goesAtOnce = false));
  sought.addEventListener("input", showPlaces);
  document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
    if (ctx.sourceElement === sought) ctx.soughtFor = sought.value;
  });
  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    if (ctx.sourceElement !== sought) return;
    shownFor = ctx.soughtFor;
    choose(choices()[0]);
    if (goesAtOnce) go();
  });
}

function openPalette() {
  document.getElementById("sidebar").matches(":popover-open") && document.getElementById("sidebar").hidePopover();
  sought.value = "";
  shownFor = undefined;
  fillPlaces();
  palette.showModal();
  htmx.trigger(sought, "parley:open");
}

// Every place as the sidebar has it now. A link stays one, so that it opens in a new tab as well.
function fillPlaces() {
  const places = [...document.querySelectorAll(PLACES)].map((source, index) => {
    const option = document.createElement(source.matches("a") ? "a" : "button");
    if (source.matches("a")) option.href = source.href;
    else option.type = "button";
    if (!source.matches("a")) option.addEventListener("click", () => source.click());
    option.id = `place-${index}`;
    option.role = "option";
    option.tabIndex = -1;
    option.ariaSelected = "false";
    option.textContent = source.querySelector(".only-wide")?.textContent ?? source.textContent.trim();
    return option;
  });
  document.getElementById("places").replaceChildren(...places);
  showPlaces();
}

function showPlaces() {
  const wanted = sought.value.toLowerCase().split(/\s+/);
  for (const option of document.getElementById("places").children) {
    option.hidden = !wanted.every((word) => option.textContent.toLowerCase().includes(word));
  }
  choose(choices()[0]);
}

function steer(event) {
  const all = choices();
  const here = all.indexOf(chosen());
  const places = { ArrowDown: here + 1, ArrowUp: here - 1, PageDown: here + 8, PageUp: Math.max(0, here - 8) };
  if (event.key in places && all.length) {
    event.preventDefault();
    const place = event.key.startsWith("Page") ? Math.min(places[event.key], all.length - 1) : places[event.key];
    choose(all[(place + all.length) % all.length]);
  }
  // What stands there was found for other words as long as the answer is on its way.
  if (event.key === "Enter" && event.target === sought) {
    event.preventDefault();
    if (shownFor === sought.value) go();
    else goesAtOnce = true;
  }
}

function choose(option) {
  for (const other of palette.querySelectorAll('[aria-selected="true"]')) other.ariaSelected = "false";
  if (!option) return sought.removeAttribute("aria-activedescendant");
  option.ariaSelected = "true";
  sought.setAttribute("aria-activedescendant", option.id);
  option.scrollIntoView({ block: "nearest" });
}

function go() {
  goesAtOnce = false;
  chosen()?.click();
}
