// The sheet of options: the way back to a default, and how many differ from the instance's. Part of composer.js: see
// BUNDLES in controllers/static.py.

// What is wrong with an option stands in the sheet. A page without scripts shows it below the composer.
const sheet = document.getElementById("options-panel");
if (sheet && !sheet.popover) {
  sheet.popover = "auto";
  sheet.showPopover();
  sheet.querySelector('[aria-invalid="true"]')?.focus();
}

document.addEventListener("click", ({ target }) => {
  const name = target.closest?.("[data-empties]")?.dataset.empties;
  if (!name) return;
  const field = document.getElementById(name);
  field.value = "";
  field.dispatchEvent(new Event("input", { bubbles: true }));
  target.closest(".changed").remove();
  field.removeAttribute("aria-describedby");
  if (document.getElementById(`hint-${name}`)) field.setAttribute("aria-describedby", `hint-${name}`);
  field.focus();
});
