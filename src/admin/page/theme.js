/* Light or dark: as chosen here, else as the system says. No module, so that it runs before anything is painted. */
'use strict';

const theme = {
	KEY: 'presenced-theme',
	CHOICES: ['auto', 'light', 'dark'],
	system: matchMedia('(prefers-color-scheme: dark)'),
	choice: 'auto',

	load() {
		try {
			const kept = localStorage.getItem(this.KEY);
			if (this.CHOICES.includes(kept))
				this.choice = kept;
		} catch {
			/* No storage here: it is not kept. */
		}
		this.system.addEventListener('change', () => this.apply());
		this.apply();
	},

	next() {
		this.choice = this.CHOICES[(this.CHOICES.indexOf(this.choice) + 1) % this.CHOICES.length];
		try {
			localStorage.setItem(this.KEY, this.choice);
		} catch {
			/* As above. */
		}
		this.apply();
	},

	apply() {
		const system = this.system.matches ? 'dark' : 'light';
		document.documentElement.dataset.theme = this.choice === 'auto' ? system : this.choice;
		document.dispatchEvent(new Event('theme'));
	},
};

theme.load();
window.presencedTheme = theme;
