// The editor of a plan: activities are moved up and down, and added from elsewhere. The form sends the ticked ones.

const list = document.getElementById('entries');
const say = (text) => { document.getElementById('moved').textContent = text; };
const nameOf = (entry) => entry.querySelector('strong').textContent;
const placeOf = (entry) => `“${nameOf(entry)}” is ${[...list.children].indexOf(entry) + 1} of ${list.children.length}.`;

list.addEventListener('click', (event) => {
  const button = event.target.closest('[data-move]');
  if (!button) return;
  const entry = button.closest('li');
  if (button.dataset.move < 0) entry.previousElementSibling?.before(entry);
  else entry.nextElementSibling?.after(entry);
  button.focus();
  say(placeOf(entry));
});

function add(entry) {
  list.append(entry);
  entry.querySelector('[name=entry]').checked = true;
  say(`Added: ${placeOf(entry)}`);
}

document.getElementById('editor').addEventListener('click', (event) => {
  const button = event.target.closest('[data-add]');
  if (button) add(button.closest('li').cloneNode(true));
});

const found = document.getElementById('found');
let asked = 0;
document.getElementById('search').addEventListener('submit', async (event) => {
  event.preventDefault();
  const words = new URLSearchParams(new FormData(event.target));
  const number = ++asked;
  let told = 'The app did not answer. Search once more.';
  try {
    const answer = await fetch(`/class/plans/questions?${words}`);
    const html = await answer.text();
    if (number !== asked) return; // an older answer never replaces a newer one
    if (answer.ok) {
      found.innerHTML = html;
      told = found.children.length ? `${found.children.length} found.` : 'No question has all of these words.';
    }
  } catch { /* told below */ }
  if (number === asked) document.getElementById('count').textContent = told;
});

askForm(document.getElementById('ask'), async (fields) => {
  const answer = await fetch('/class/plans/typed', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(fields),
  });
  if (!answer.ok) return answer.json();
  const made = document.createElement('template');
  made.innerHTML = await answer.text();
  add(made.content.firstElementChild);
  return {};
});
