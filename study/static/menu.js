// The menu: on a phone it is wider than the screen, so bring the page one is on into view.

element.querySelector('[aria-current]')?.scrollIntoView({ inline: 'center', block: 'nearest' });

// Gradio sets a <base>, with which a plain link to #main would leave the page.
element.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  document.getElementById('main')?.focus();
});
