// Pages of models: the stream says when to look again, and how far tasks are (htmx swaps that in by itself).

document.addEventListener("htmx:sse:before:message", ({ detail }) => {
  if (detail.message.event === "look") look();
  if (detail.message.event === "signed_out") location.reload();
});

// What happens at once is looked at once, and a form that is being filled in is left alone: it is none of these.
let due;

function look() {
  clearTimeout(due);
  due = setTimeout(() => {
    for (const part of document.querySelectorAll("#models, #model-summary")) htmx.trigger(part, "parley:look");
  }, 100);
}
