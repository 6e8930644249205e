// The menu of every page.

// Gradio sets a <base>, with which a plain link to #main would leave the page.
element.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  document.getElementById('main')?.focus();
});
