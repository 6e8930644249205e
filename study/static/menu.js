// The menu: on a phone it is wider than the screen, so bring the page one is on into view.

const current = element.querySelector('[aria-current]');
const menu = current?.closest('nav');
if (menu) {
  // With scrollIntoView, Chromium would start the Tab key at this link, past the one that skips the menu.
  const [link, bar] = [current.getBoundingClientRect(), menu.getBoundingClientRect()];
  menu.scrollLeft += link.left + link.width / 2 - (bar.left + bar.width / 2);
}

// Gradio sets a <base>, with which a plain link to #main would leave the page.
element.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  document.getElementById('main')?.focus();
});
