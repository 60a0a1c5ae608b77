// A key that belongs to an input method reaches none of our handlers. Part of page.js: see BUNDLES in controllers/static.py.
//
// It picks or confirms a character of Chinese, Japanese, Korean. Safari ends the composition before it sends the key: then
// only the code 229 says so (https://w3c.github.io/uievents/#determine-keydown-keyup-keyCode). The window hears of a key
// before any element does, so this is the only place that has to know.

addEventListener("keydown", (event) => {
  if (event.isComposing || event.keyCode === 229) event.stopImmediatePropagation();
}, true);
