// The code of a class: what a browser says of a wrong one, in the app's own words.
const code = document.querySelector('[name=code]');
code.addEventListener('input', () => code.setCustomValidity(''));
code.addEventListener('invalid', () => code.setCustomValidity('Type the six digits on the screen.'));
