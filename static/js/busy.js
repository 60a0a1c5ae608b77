// A form that asks a model server before the next page comes says so meanwhile, as htmx does for its own requests. Part of
// page.js: see BUNDLES in controllers/static.py.

document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || !event.target.matches("[data-asks]")) return;
  event.submitter?.classList.add("htmx-request");
});

// Who comes back finds the page as it was left.
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const button of document.querySelectorAll("[data-asks] .htmx-request")) button.classList.remove("htmx-request");
});
