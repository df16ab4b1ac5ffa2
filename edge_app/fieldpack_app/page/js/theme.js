// Runs before the page is painted, so that a chosen theme never flashes the other one. Not a module for that reason.
(() => {
  const root = document.documentElement;
  try {
    const chosen = localStorage.getItem("fieldpack:theme"); // as JSON, like all that history.js keeps
    if (chosen === '"light"' || chosen === '"dark"') root.dataset.theme = chosen.slice(1, -1);
  } catch (error) {
    if (!(error instanceof DOMException)) throw error; // storage is switched off: the system's theme it is
  }
})();
