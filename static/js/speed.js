// Tokens per second while an answer is written. Part of stream.js: see BUNDLES in controllers/static.py.
//
// Nothing counts tokens before the end: the text on the page is measured once a second, as chat/figures.py estimates it. The
// finished message brings the exact figure, and takes this one away.

const BYTES_PER_TOKEN = 4;
const WINDOW_MILLISECONDS = 5000;
const samples = new WeakMap(); // element → [moment, bytes] of the last seconds
const encoder = new TextEncoder();

setInterval(() => {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("#messages [data-speed]")) measure(element);
}, 1000);

function measure(element) {
  const body = element.closest("article").querySelector(".body");
  const bytes = encoder.encode(body.textContent).length;
  const now = performance.now();
  const seen = (samples.get(element) ?? []).filter(([moment]) => now - moment <= WINDOW_MILLISECONDS);
  if (bytes) seen.push([now, bytes]);
  samples.set(element, seen);
  const [[since, before]] = seen.length ? seen : [[now, bytes]];
  if (now - since < 900) return;
  const rate = ((bytes - before) / BYTES_PER_TOKEN / (now - since)) * 1000;
  const digits = rate < 10 ? 1 : 0;
  const { locale } = document.documentElement.dataset;
  const shown = new Intl.NumberFormat(locale, { maximumFractionDigits: digits }).format(rate);
  const isOne = new Intl.PluralRules(locale, { maximumFractionDigits: digits }).select(rate) === "one";
  const { speed, speedOne } = element.dataset;
  element.textContent = bytes > before ? (isOne ? speedOne : speed).replace("{}", shown) : "";
}
