// The projector: one thing at a time. PageDown and PageUp lead on and back, B blanks the screen.
// What is shorter than the screen is scaled up, what is longer down a little. What then still does not fit has parts, which PageDown
// shows before it leads on.

let after = 0;
let html = '';
let step = '';
const SCALES = [1.4, 1.25, 1.12, 1, 0.93, 0.86, 0.8];
const KEPT_SHARE = 0.1; // of a part, which the next one shows again

follow(`/class/${code}/screen/events`, `/class/${code}/screen/state`, (state) => {
  after = state.after;
  count(state);
  byId('locked').hidden = !state.locked;
  const address = document.querySelector('.corner .address');
  if (address.textContent !== state.join) {
    address.textContent = state.join;
    document.querySelector('.corner .qr').innerHTML = state.qr;
  }
  document.body.dataset.lobby = state.position < 0 ? 'yes' : '';
  if (state.html !== html) {
    byId('now').innerHTML = html = state.html;
    fit();
  }
  if (`${state.position}/${state.phase}` !== step) { scrollTo(0, 0); showTrouble(''); }
  step = `${state.position}/${state.phase}`;
  sayParts();
});

function showTrouble(text) {
  byId('trouble').textContent = text;
  byId('trouble').hidden = !text;
}

const last = () => document.documentElement.scrollHeight - innerHeight;
const stride = () => (1 - KEPT_SHARE) * (innerHeight - document.querySelector('.corner').offsetHeight);
const partAt = (height) => 1 + Math.max(0, Math.ceil((height - 2) / stride()));
const countParts = () => partAt(last());

// The largest text with the fewest parts.
function fit() {
  const set = (scale) => byId('main').style.setProperty('--fit', scale);
  const parts = SCALES.map((scale) => { set(scale); return countParts(); });
  set(SCALES[parts.indexOf(Math.min(...parts))]);
}

function sayParts() {
  const parts = countParts();
  const isLast = scrollY > last() - 3;
  byId('more').hidden = parts === 1 || document.body.dataset.lobby === 'yes';
  byId('more').textContent = `Part ${partAt(scrollY)} of ${parts}${isLast ? '' : ' · more below: PageDown'}`;
}

// Whether there was another part in that direction.
function turn(direction) {
  if (document.body.classList.contains('blanked') || document.body.dataset.lobby === 'yes') return false;
  if (direction > 0 ? scrollY > last() - 3 : scrollY < 3) return false;
  scrollBy({ top: direction * stride(), behavior: 'instant' });
  return true;
}

addEventListener('scroll', sayParts);
addEventListener('resize', () => { fit(); sayParts(); });

addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === 'PageDown' || event.key === 'PageUp') {
    event.preventDefault();
    if (turn(event.key === 'PageDown' ? 1 : -1)) return;
    post(`/class/${code}/command`, { do: event.key === 'PageDown' ? 'next' : 'back', after })
      .then(async (answer) => {
        if (answer.ok) return;
        const { error } = await answer.json();
        tell(error);
        if (answer.status >= 500) showTrouble(error); // who holds the clicker sees no other screen
      }, () => lost(true));
  } else if (event.key === 'b' || event.key === 'B' || event.key === '.') {
    byId('blank').hidden = !byId('blank').hidden;
    document.body.classList.toggle('blanked', !byId('blank').hidden);
    post(`/class/${code}/command`, { do: byId('blank').hidden ? 'unblank' : 'blank' }).catch(() => {}); // for the teacher's page
    tell(byId('blank').hidden ? 'The screen shows the class.' : 'The screen is blank.');
  }
});
