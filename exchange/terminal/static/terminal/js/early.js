// Before the first paint: the theme chosen on this machine, so that the page does not flash in the other one.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("theme");
  } catch {
    theme = null; // storage is switched off: the system's preference holds
  }
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
})();
