// The teacher's page: every button is a command; what is open or focused stays so when a new state comes.

let after = 0;
let html = '';
let waiting = ''; // a newer state that stands back for a press or an open choice
let pressing = false;
const FIGURE_REST_MS = 250;
const READING_MS = 3000;
let toldAt = 0;
const NO_CONNECTION = 'No connection to the app.';

const look = follow(`/class/${code}/teach/events`, `/class/${code}/teach/state`, (state) => {
  const isOver = state.after !== after && Date.now() - toldAt > READING_MS; // the class goes on, from another window
  after = state.after;
  if (isOver || byId('trouble').textContent === NO_CONNECTION) tellTrouble('');
  count(state);
  byId('entrance').hidden = state.ended; // nobody gets into what has ended
  if (state.html === html) waiting = '';
  else redraw(state.html);
  showFigure(state.figure);
});

// The figure stands outside of what a new state replaces: the hand on its slider stays there.
let figureAt = null;
function showFigure(figure) {
  const place = byId('figure');
  place.hidden = !figure;
  if ((figure ? figure.at : null) === figureAt) return;
  figureAt = figure ? figure.at : null;
  place.innerHTML = figure ? figure.html : '';
}

let moving = null;
addEventListener('input', (event) => { // at the window, because figures.js stops it at the document
  if (!byId('figure').contains(event.target)) return;
  clearTimeout(moving);
  moving = setTimeout(() => command({ do: 'figure', settings: settingsOf(byId('figure')) }), FIGURE_REST_MS);
}, true);

function redraw(next) {
  const place = byId('now');
  if (pressing || place.querySelector('select.judge')) { waiting = next; return; }
  waiting = '';
  const fresh = document.createElement('template');
  fresh.innerHTML = html = next;
  for (const each of place.querySelectorAll('details[data-keep][open]')) {
    fresh.content.querySelector(`details[data-keep="${each.dataset.keep}"]`)?.setAttribute('open', '');
  }
  const active = document.activeElement;
  const focused = place.contains(active) ? { ...active.dataset } : null;
  replaceChanged(place, fresh.content);
  if (!focused || active.isConnected || !(focused.do || focused.judge)) return;
  const same = [...place.querySelectorAll('[data-do], [data-judge]')];
  const sameAnswer = same.find((each) => (focused.answer && each.dataset.answer === focused.answer)
    || (focused.judge && each.dataset.judge === focused.judge && each.dataset.concept === focused.concept));
  const samePlace = same.filter((each) => ['student', 'phase', 'position'].every((name) => each.dataset[name] === focused[name]));
  (sameAnswer || samePlace.find((each) => each.dataset.do === focused.do) || (focused.student && samePlace[0]) || same[0])?.focus();
}

// Keeps the parts that stay equal, in their order, and replaces the others. The figure stays between what is
// asked and the plan; a figure that is moved in the page would slip out of the hand.
function replaceChanged(place, content) {
  const figure = byId('figure');
  const old = [...place.children].filter((each) => each !== figure);
  let at = 0;
  for (const part of [...content.children]) {
    const same = old.findIndex((each, index) => index >= at && each.isEqualNode(part));
    if (same < 0) {
      const before = old[at] ?? null;
      const isAbove = before && before.previousElementSibling === figure && !part.matches('details.sheet');
      place.insertBefore(part, isAbove ? figure : before);
      continue;
    }
    for (const gone of old.slice(at, same)) gone.remove();
    at = same + 1;
  }
  for (const gone of old.slice(at)) gone.remove();
  const plan = place.querySelector('[data-keep="steps"]');
  if (plan && plan.previousElementSibling !== figure) plan.before(figure);
}

// A button that is replaced between the finger's down and up gets no click.
byId('now').addEventListener('pointerdown', () => { pressing = true; });
for (const end of ['pointerup', 'pointercancel']) {
  addEventListener(end, () => setTimeout(() => { // the click comes after this event
    pressing = false;
    if (waiting) redraw(waiting);
  }));
}

byId('now').addEventListener('click', (event) => {
  const judged = event.target.closest('[data-judge]');
  if (judged) return judge(judged);
  const button = event.target.closest('[data-do]');
  if (!button || (button.dataset.ask && !confirm(button.dataset.ask))) return;
  const { do: what, student, position, phase, answer } = button.dataset;
  const steps = ['next', 'back', 'reopen', 'go'].includes(what);
  command({ do: what, student, phase, answer, position: position === undefined ? undefined : Number(position), after: steps ? after : undefined });
});

// A verdict of the grader becomes a choice of the teacher. By keyboard it counts with Enter or when the choice is
// left, because an arrow key passes every verdict on its way.
function judge(button) {
  const choice = document.createElement('select');
  choice.className = 'judge';
  choice.setAttribute('aria-label', `Your verdict, sent with Enter. ${button.textContent}`);
  choice.append(new Option('Your verdict …', ''));
  for (const [value, words] of JSON.parse(byId('main').dataset.verdicts)) choice.append(new Option(words, value));
  let byKey = false;
  let closed = false; // taking it out of the page blurs it
  const close = () => {
    if (closed) return;
    closed = true;
    choice.replaceWith(button);
    button.focus();
    if (waiting) redraw(waiting);
  };
  const decide = () => {
    if (closed) return;
    if (choice.value) command({ do: 'overrule', answer: button.dataset.judge, concept: button.dataset.concept, verdict: choice.value });
    close();
  };
  choice.addEventListener('pointerdown', () => { byKey = false; });
  choice.addEventListener('keydown', (event) => {
    byKey = true;
    if (event.key === 'Escape') close();
    if (event.key !== 'Enter' || !choice.value) return;
    event.preventDefault(); // the button that comes back would take it as its own
    decide();
  });
  choice.addEventListener('change', () => { if (!byKey) decide(); });
  choice.addEventListener('blur', decide);
  button.replaceWith(choice);
  choice.focus();
}

const command = (order) => send('command', order);

// What went wrong, with the field of a form if it is about one; {} where nothing did.
async function ask(what, body) {
  try {
    const answer = await post(`/class/${code}/${what}`, body);
    return answer.ok ? {} : await answer.json();
  } catch {
    lost(true);
    return { error: NO_CONNECTION };
  }
}

async function send(what, body) {
  const { error = '' } = await ask(what, body);
  tellTrouble(error);
  look();
}

function tellTrouble(text) {
  toldAt = Date.now();
  byId('trouble').textContent = text;
  byId('trouble').hidden = !text;
}

askForm(byId('ask'), (fields) => ask('ask', fields));

searchForm('yes');
let asking = false; // a second press asks nothing twice
byId('found').addEventListener('click', async (event) => {
  const button = event.target.closest('[data-when]');
  if (!button || asking) return;
  asking = true;
  const { question, title, twin } = JSON.parse(button.closest('li').querySelector('[name=entry]').value);
  const minutes = byId('search').elements.minutes.value;
  const { error = '' } = await ask('ask', { question, title, twin: twin || '', minutes, when: button.dataset.when });
  asking = false;
  byId('count').textContent = error || (button.dataset.when === 'now' ? 'Asked now.' : 'It comes next.');
});
