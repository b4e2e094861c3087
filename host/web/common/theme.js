// Set the theme before the first paint: the one that was chosen on this page, or the system's. The button
// with the id "theme" switches it. Loaded as a classic script in the head, so that nothing is painted before.
{
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;

  const chosen = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // the browser has no storage
    }
  };

  /** @param {string} theme */
  const set = (theme) => {
    root.dataset.theme = theme;
    document.dispatchEvent(new Event("themechange"));
  };

  const apply = () => set(chosen() ?? (system.matches ? "dark" : "light"));

  const other = () => {
    set(root.dataset.theme === "dark" ? "light" : "dark");
    try {
      localStorage.setItem("theme", root.dataset.theme ?? "");
    } catch {
      // without storage, the choice lasts until the page is closed
    }
  };

  system.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme")?.addEventListener("click", other);
  });
  apply();
}
