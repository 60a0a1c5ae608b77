// The password that a sensitive change asks for in the dialog, once it was right. Part of page.js: see BUNDLES in
// controllers/static.py.

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
