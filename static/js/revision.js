// A question in other words: ArrowUp in an empty composer opens the last one. Part of composer.js: see BUNDLES in
// controllers/static.py.

document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (target.id === "revision-text" && isSending(event)) {
    event.preventDefault();
    target.form.requestSubmit();
  }
  const isPlain = !event.shiftKey && !event.ctrlKey && !event.metaKey && !event.altKey;
  if (target !== box() || key !== "ArrowUp" || !isPlain || target.value) return;
  const last = [...document.querySelectorAll("#messages > article.user .revise")].at(-1);
  if (!last) return;
  event.preventDefault();
  last.click();
});

// A text that comes from the server is gone on with at its end.
let opened;
document.addEventListener("htmx:after:swap", () => {
  const text = document.getElementById("revision-text");
  if (text && text !== opened) {
    text.focus();
    text.setSelectionRange(text.value.length, text.value.length);
  }
  opened = text;
});

// Asked: the next question is typed where all are.
document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
  if (ctx.sourceElement?.id !== "revision" || !(ctx.response?.status < 400)) return;
  document.getElementById("dialog").close();
  if (!isTouch()) box()?.focus({ preventScroll: true });
});
