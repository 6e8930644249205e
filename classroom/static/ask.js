// Ways to a question: a form for one that the teacher types, and the search among those of the app.
//
// `send` takes its fields and returns {} or {error, field}.
'use strict';

function askForm(form, send) {
  const trouble = form.querySelector('#ask-trouble');

  function fit() { // only the fields of the chosen kind
    const kind = form.elements.kind.value;
    for (const part of form.querySelectorAll('[data-for]')) part.hidden = !part.dataset.for.split(' ').includes(kind);
  }

  function tellTrouble({ error = '', field = '' }) {
    for (const each of form.querySelectorAll('[aria-invalid]')) {
      each.removeAttribute('aria-invalid');
      each.removeAttribute('aria-describedby');
    }
    trouble.textContent = error;
    trouble.hidden = !error;
    const wrong = field && form.elements[field];
    if (!error || !wrong || !wrong.closest) return;
    wrong.setAttribute('aria-invalid', 'true');
    wrong.setAttribute('aria-describedby', trouble.id);
    (wrong.closest('.row') || wrong.closest('label')).after(trouble); // beside the field, and in view
    wrong.focus();
    trouble.scrollIntoView({ block: 'nearest' });
  }

  let sending = false; // a second press asks nothing twice
  form.addEventListener('change', (event) => {
    fit();
    if (event.target.name === 'kind') tellTrouble({}); // it was about the kind before
  });
  form.addEventListener('reset', () => setTimeout(fit)); // once the kind is the first one again
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (sending) return;
    const kind = form.elements.kind.value;
    const fields = Object.fromEntries(new FormData(form));
    if (event.submitter && event.submitter.name) fields[event.submitter.name] = event.submitter.value;
    sending = true;
    const told = await send(fields).catch(() => ({ error: 'The app did not answer. Press once more.' }));
    sending = false;
    tellTrouble(told);
    if (told.error) return;
    form.reset();
    form.elements.kind.value = kind;
    const fold = form.closest('details');
    const focused = fold.contains(document.activeElement);
    fold.open = false;
    if (focused) fold.querySelector('summary').focus(); // a hidden button would lose it
  });
  fit();
}

const MOST_FOUND = 20; // the search gives no more

// `asks`: what is found has buttons to ask it at once.
function searchForm(asks = '') {
  const found = document.getElementById('found');
  let asked = 0;
  document.getElementById('search').addEventListener('submit', async (event) => {
    event.preventDefault();
    const words = new URLSearchParams({ words: event.target.elements.words.value, ...(asks && { asks }) });
    const number = ++asked;
    let told = 'The app did not answer. Search once more.';
    try {
      const answer = await fetch(`/class/plans/questions?${words}`);
      const html = await answer.text();
      if (number !== asked) return; // an older answer never replaces a newer one
      if (answer.ok) {
        found.innerHTML = html;
        const count = found.children.length;
        told = !count ? 'No question has all of these words.' : count < MOST_FOUND ? `${count} found.`
          : `The first ${count} are shown; add a word for others.`;
      }
    } catch { /* told below */ }
    if (number === asked) document.getElementById('count').textContent = told;
  });
}
