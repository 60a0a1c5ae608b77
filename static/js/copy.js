// Copying: code as it is, anything else as rich and plain text. Part of page.js: see BUNDLES in controllers/static.py.

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy) ?? button.closest(".code")?.querySelector("pre");
  if (!source) return;
  await copy(source, button.dataset.copyFrom);
  const label = button.querySelector("span") ?? button;
  if (label.textContent === words.copied) return;
  const text = label.textContent;
  label.textContent = words.copied;
  setTimeout(() => (label.textContent = text), 1500);
});

// Rich and plain text, without the buttons that stand in it; an answer's plain text is its Markdown, which is fetched.
async function copy(source, address) {
  const clone = source.cloneNode(true);
  for (const control of clone.querySelectorAll("button, .for-readers")) control.remove();
  const stage = document.createElement("div");
  stage.className = "copy-stage";
  stage.append(clone);
  document.body.append(stage);
  const isCode = source.matches("pre");
  const shown = isCode ? clone.textContent : clone.innerText;
  const text = address ? written(address).catch(() => shown) : Promise.resolve(shown);
  try {
    // Asked at once, within the click, and promised the text. The clipboard API exists on https and loopback only.
    const kinds = { "text/plain": text.then((plain) => new Blob([plain], { type: "text/plain" })) };
    if (!isCode) kinds["text/html"] = new Blob([clone.outerHTML], { type: "text/html" });
    await navigator.clipboard.write([new ClipboardItem(kinds)]);
  } catch {
    const plain = await text;
    getSelection().selectAllChildren(stage);
    stage.addEventListener("copy", (event) => {
      event.clipboardData.setData("text/plain", plain);
      if (!isCode) event.clipboardData.setData("text/html", clone.outerHTML);
      event.preventDefault();
    });
    document.execCommand("copy");
    getSelection().removeAllRanges();
  } finally {
    stage.remove();
  }
}

async function written(address) {
  const answer = await fetch(address, { redirect: "error", signal: AbortSignal.timeout(3000) });
  return answer.ok ? answer.text() : Promise.reject(answer.status);
}
