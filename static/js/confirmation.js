// The password that a sensitive change asks for, in the dialog or on a page of its own, and what comes after it. Part of
// page.js: see BUNDLES in controllers/static.py.

// The page is the answer to a form, and its address cannot be opened: Back and reload lead to where the form was.
const question = document.querySelector("main form[data-confirms]");
if (question) history.replaceState(history.state, "", question.dataset.from);

let asker; // the id of what had the focus when the form was sent; what comes in its place has the same

const isConfirmation = (element) => element?.matches?.("form[data-confirms]");

document.addEventListener("htmx:before:request", ({ detail }) => {
  if (!isConfirmation(detail.ctx.sourceElement)) asker = document.activeElement?.id;
});

// A wrong password brings the question again. What was not reached, or failed, leaves it open.
document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
  const isAnswered = ctx.response?.status < 500 && !ctx.text?.includes("data-confirms");
  if (!isConfirmation(ctx.sourceElement) || !isAnswered) return;
  document.getElementById("dialog").close();
  if (asker) document.getElementById(asker)?.focus();
});

// -- A form that is answered with a file: the browser stays on its page, which then goes on without what was typed ---------

const DOWNLOADED = "parley-downloaded";
let waiting;

document.addEventListener("submit", ({ target, defaultPrevented }) => {
  if (defaultPrevented || !target.matches("[data-downloads]")) return;
  document.cookie = `${DOWNLOADED}=; path=/; max-age=0`;
  clearInterval(waiting);
  waiting = setInterval(() => {
    if (!document.cookie.includes(`${DOWNLOADED}=1`)) return;
    clearInterval(waiting);
    location.replace(target.dataset.downloads);
  }, 100);
});
