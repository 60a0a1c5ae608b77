// The list of models stays true while the page is open, and what comes back is said. Part of composer.js: see BUNDLES in
// controllers/static.py. The page of a new thread has no stream: it asks every 20 seconds (see _composer.html).

const picker = document.getElementById("picker");
const downNow = () => [...picker.querySelectorAll("optgroup:has([data-down])")].map((group) => group.label);
let down = downNow();

document.addEventListener("htmx:after:swap", (event) => {
  if (event.detail.ctx.sourceElement?.id !== "picker") return;
  const select = document.getElementById("model");
  const shown = [...picker.querySelectorAll("optgroup")].map((group) => group.label);
  const still = downNow();
  const back = down.filter((name) => shown.includes(name) && !still.includes(name));
  if (back.length) {
    const notice = document.getElementById("notice");
    notice.dataset.good = "";
    notice.textContent = words.back.replace("{}", back.join(", "));
  }
  down = still;
  form().querySelector(".send").disabled = !select;
  const says = document.getElementById("says");
  if (says && select) says.textContent = select.selectedOptions[0]?.dataset.says ?? "";
  mark();
});
