// Set the theme before the first paint: the one that was chosen on this page, or the system's.
{
  const system = matchMedia("(prefers-color-scheme: dark)");

  const chosen = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // the browser has no storage
    }
  };

  const apply = () => {
    document.documentElement.dataset.theme = chosen() ?? (system.matches ? "dark" : "light");
    document.dispatchEvent(new Event("themechange"));
  };

  system.addEventListener("change", apply);
  apply();
}
