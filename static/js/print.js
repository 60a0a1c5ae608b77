// Printing: all of a thread. Part of page.js: see BUNDLES in controllers/static.py.

// What is closed on the screen is open on paper.
let closed = [];

addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll(".body details:not([open])")];
  for (const details of closed) details.open = true;
});

addEventListener("afterprint", () => {
  for (const details of closed) details.open = false;
});

// A thread of which only the end has been loaded is printed from its own page, which holds all of it.
document.addEventListener("keydown", (event) => {
  if (event.key?.toLowerCase() !== "p" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
  const whole = document.getElementById("older") && document.querySelector(".bar a[data-prints]");
  if (!whole) return;
  event.preventDefault();
  whole.click();
});

// That page was opened to be printed.
if (document.querySelector("[data-print-now]")) addEventListener("load", () => setTimeout(() => print()));
