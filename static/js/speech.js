// Speaking: whole sentences of the answer, politely. Part of page.js: see BUNDLES in controllers/static.py.

const speech = document.getElementById("speech");
const mode = document.documentElement.dataset.speech;

if (log && speech && mode !== "off") {
  const spoken = new Map(); // message → how much of its text was said; only of answers seen running
  let pending;

  const say = (text) => {
    if (text.trim()) speech.textContent = text.trim();
  };

  const listen = () => {
    pending = undefined;
    for (const article of log.querySelectorAll('article.assistant:is([data-status="queued"], [data-status="running"])')) {
      const id = article.dataset.message;
      if (!spoken.has(id)) spoken.set(id, 0);
      const text = article.querySelector(".body")?.textContent ?? "";
      const end = sentenceEnd(text);
      if (mode !== "all" || end <= spoken.get(id)) continue;
      say(text.slice(spoken.get(id), end));
      spoken.set(id, end);
    }
    for (const [id, from] of spoken) {
      const article = document.getElementById(`message-${id}`);
      if (article && ["queued", "running"].includes(article.dataset.status)) continue;
      spoken.delete(id);
      if (!article) continue;
      const rest = mode === "all" ? (article.querySelector(".body")?.textContent ?? "").slice(from) : "";
      const ending = article.querySelector(".problem, .ending")?.textContent ?? words.answered;
      say(`${rest} ${ending}`);
    }
  };

  const sentenceEnd = (text) => {
    const found = [...text.matchAll(/[.!?…](?=\s)|[。！？]|\n/g)].at(-1);
    return found ? found.index + 1 : 0;
  };

  // A reader's voice takes longer than the text: at most one utterance in a second and a half.
  new MutationObserver(() => (pending ??= setTimeout(listen, 1500))).observe(log, {
    childList: true,
    subtree: true,
    characterData: true,
    attributeFilter: ["data-status"],
  });
  listen();
}
