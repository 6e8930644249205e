// <form data-once> is sent once: a second press while it is on its way does nothing.
addEventListener('submit', (event) => {
  const sent = event.target.dataset.once;
  if (sent) event.preventDefault();
  if (sent === '') event.target.dataset.once = 'sent';
});
addEventListener('pageshow', () => { // also of a page that Back leads to
  for (const form of document.querySelectorAll('[data-once]')) form.dataset.once = '';
});
