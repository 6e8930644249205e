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
  entry.querySelector('[name=kept]').checked = true;
  say(`Added: ${placeOf(entry)}`);
}

document.getElementById('editor').addEventListener('click', (event) => {
  const button = event.target.closest('[data-add]');
  if (button) add(button.closest('li').cloneNode(true));
});

searchForm();

// The twin of a question: the choices come when they are asked for.
const valueOf = (entry) => JSON.parse(entry.querySelector('[name=entry]').value);

list.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-twin]');
  if (!button) return;
  const entry = button.closest('li');
  const choice = document.createElement('select');
  choice.setAttribute('aria-label', `Similar question to “${nameOf(entry)}”`);
  try {
    const answer = await fetch(`/class/plans/twins?${new URLSearchParams({ question: button.dataset.twin })}`);
    if (!answer.ok) throw new Error('no choices');
    choice.innerHTML = await answer.text();
  } catch { return say('The app did not answer. Press once more.'); }
  const chosen = valueOf(entry).twin || '';
  if (![...choice.options].some((each) => each.value === chosen)) choice.append(new Option(chosen, chosen));
  choice.value = chosen;
  choice.addEventListener('change', () => {
    const { twin, ...rest } = valueOf(entry);
    entry.querySelector('[name=entry]').value = JSON.stringify(choice.value ? { ...rest, twin: choice.value } : rest);
    entry.querySelector('[data-has-twin]').hidden = !choice.value;
    say(choice.value ? `“${nameOf(entry)}” has a similar question.` : `“${nameOf(entry)}” has no similar question.`);
  });
  button.replaceWith(choice);
  choice.focus();
});

// Questions for a self-paced quiz, in the order in which they are pressed.
const quiz = document.getElementById('quiz');
const picked = document.getElementById('picked');
const quizTrouble = document.getElementById('quiz-trouble');

function tellQuiz(text) {
  quizTrouble.textContent = text;
  quizTrouble.hidden = !text;
}

document.getElementById('found').addEventListener('click', (event) => {
  const button = event.target.closest('[data-quiz]');
  if (!button) return;
  const entry = document.createElement('li');
  entry.dataset.question = button.dataset.quiz;
  entry.append(`${nameOf(button.closest('li'))} `);
  const out = document.createElement('button');
  Object.assign(out, { type: 'button', className: 'link', textContent: 'Take it out' });
  out.setAttribute('aria-label', `Take out “${nameOf(button.closest('li'))}”`);
  out.addEventListener('click', () => {
    entry.remove();
    quiz.hidden = !picked.children.length;
    (picked.querySelector('button') || document.querySelector('#search input')).focus();
  });
  entry.append(out);
  picked.append(entry);
  quiz.hidden = false;
  const count = picked.children.length;
  say(`The quiz has ${count} ${count === 1 ? 'question' : 'questions'}.`);
});

let sending = false; // a second press adds nothing twice
quiz.addEventListener('submit', async (event) => {
  event.preventDefault();
  if (sending) return;
  const questions = [...picked.children].map((each) => each.dataset.question);
  sending = true;
  const told = await addFrom('/class/plans/quiz', { ...Object.fromEntries(new FormData(quiz)), questions })
    .catch(() => ({ error: 'The app did not answer. Press once more.' }));
  sending = false;
  tellQuiz(told.error || '');
  if (told.error) return;
  picked.replaceChildren();
  quiz.reset();
  quiz.hidden = true;
});

// An entry that the server makes, at the end or in the place of another; {} or {error, field}.
async function addFrom(path, fields, old = null) {
  const answer = await fetch(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(fields),
  });
  if (!answer.ok) return answer.json();
  const made = document.createElement('template');
  made.innerHTML = await answer.text();
  const entry = made.content.querySelector('li');
  if (!old) {
    add(entry);
    entry.querySelector('[name=kept]').focus(); // the form that made it closes
    return {};
  }
  entry.querySelector('[name=kept]').checked = old.querySelector('[name=kept]').checked;
  old.replaceWith(entry);
  entry.querySelector('[data-change]').focus();
  say(`“${nameOf(entry)}” is changed.`);
  return {};
}

// A typed question is changed in the form that made it.
const typed = document.getElementById('ask');
let changing = null; // its entry

function change(entry) {
  changing = entry;
  typed.querySelector('[type=submit]').textContent = entry ? 'Save the change' : 'Add it to the plan';
  typed.querySelector('[type=reset]').hidden = !entry;
}

askForm(typed, (fields) => addFrom('/class/plans/typed', fields, changing));
typed.addEventListener('reset', () => { // also after each that is sent
  changing?.querySelector('[data-change]').focus();
  change(null);
});

list.addEventListener('click', (event) => {
  const button = event.target.closest('[data-change]');
  if (!button) return;
  change(button.closest('li'));
  for (const [name, value] of Object.entries({ unit: '', minutes: '', ...valueOf(changing) })) {
    if (typed.elements[name]) typed.elements[name].value = name === 'options' ? value.join('\n') : value;
  }
  typed.closest('details').open = true;
  typed.dispatchEvent(new Event('change')); // its kind has changed
  typed.elements.ask.focus();
});
