// Runs in every page before anything is drawn: the look that this browser has chosen in Settings, kept in this browser.

const TEXT_SIZES = { small: '93.75%', usual: '', large: '118%', larger: '137%' };
const ROOMY_PX = 1760; // from here on a projector has room for two charts beside the controls; larger letters need more
const DARK_SYSTEM = matchMedia('(prefers-color-scheme: dark)');

// 'theme' or 'text-size'; a browser that blocks storage has chosen nothing.
function chosenLook(name) {
  try { return localStorage.getItem(name) || ''; } catch { return ''; }
}

function setTight() {
  const size = parseFloat(document.documentElement.style.fontSize) || 100;
  document.documentElement.classList.toggle('tight', innerWidth < (ROOMY_PX * size) / 100);
}

function applyLook() {
  const root = document.documentElement;
  root.style.fontSize = TEXT_SIZES[chosenLook('text-size')] || '';
  root.classList.toggle('large-text', parseFloat(root.style.fontSize) > 100);
  setTight();
  const dark = chosenLook('theme') === 'dark' || (chosenLook('theme') !== 'light' && DARK_SYSTEM.matches);
  // Gradio keeps the class at the body and follows the system there; pages without Gradio have it at the root alone.
  for (const place of [root, document.body]) {
    if (place && place.classList.contains('dark') !== dark) place.classList.toggle('dark', dark);
  }
}

applyLook();
DARK_SYSTEM.addEventListener('change', applyLook);
addEventListener('resize', setTight);
