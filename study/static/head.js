// Runs in every page before anything is drawn: the projector view, and a page that never came.

const asked = new URLSearchParams(location.search).get('view');
if (asked) sessionStorage.setItem('view', asked);
const view = sessionStorage.getItem('view') || document.documentElement.dataset.view;
document.documentElement.classList.toggle('projector', view === 'projector');

// The content of a page comes with its first answer. If that fails, say so instead of waiting for ever.
const PATIENCE_MS = 12000;
setTimeout(() => {
  const waiting = document.querySelector('[data-waiting]');
  if (!waiting) return;
  waiting.innerHTML = 'This page did not load. What you did before is saved. <a href="">Try again</a>';
}, PATIENCE_MS);
