// On a phone the menu is wider than the screen: bring the page one is on into view.

element.querySelector('[aria-current]')?.scrollIntoView({ inline: 'center', block: 'nearest' });
