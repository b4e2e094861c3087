// The tabs: one panel is shown, the address says which. Arrow keys, Home and End go from tab to tab.
//
// The address is #NAME or #NAME?..., what follows is left to the panel. An address without a name of a tab,
// such as a link to a run, shows the first.

const tabs = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[role=tab]")]);

/** Return the panel of a tab.
 * @param {HTMLElement} tab
 * @returns {HTMLElement} */
function panelOf(tab) {
  const panel = document.getElementById(tab.getAttribute("aria-controls") ?? "");
  if (!panel) throw new Error(`no panel for the tab ${tab.id}`);
  return panel;
}

/** Show the panel with this id. It receives an event "shown".
 * @param {string} name */
export function showTab(name) {
  for (const tab of tabs) {
    const panel = panelOf(tab);
    const chosen = panel.id === name;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    panel.hidden = !chosen;
    if (chosen) panel.dispatchEvent(new Event("shown"));
  }
}

/** Return the name of the tab in the address, "" if there is none. */
function addressed() {
  const name = location.hash.slice(1).split(/[?&]/)[0];
  return tabs.some((tab) => panelOf(tab).id === name) ? name : "";
}

/** Show a tab and write it into the address.
 * @param {string} name */
export function goToTab(name) {
  showTab(name);
  if (addressed() !== name) history.replaceState(null, "", `#${name}`);
  scrollTo({ top: 0 });
}

/** Make the tabs work, and show the one in the address. */
export function startTabs() {
  const first = panelOf(tabs[0]).id;
  for (const [i, tab] of tabs.entries()) {
    tab.addEventListener("click", () => goToTab(panelOf(tab).id));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = tabs[(to + tabs.length) % tabs.length];
      goToTab(panelOf(next).id);
      next.focus();
    });
  }
  addEventListener("hashchange", () => showTab(addressed() || first));
  showTab(addressed() || first);
}
