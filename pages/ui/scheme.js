// Before anything is drawn: light, dark, or what the system has. Streamlit asks the browser which the system has, and
// listens for a change; it is told what was chosen on the page, so that a switch draws nothing anew and flashes nothing.
(() => {
  const key = "and-theme", query = "(prefers-color-scheme: dark)", ask = window.matchMedia.bind(window), system = ask(query);
  const grounds = { light: "#fbfaf6", dark: "#15171c" };
  const read = () => { try { const kept = localStorage.getItem(key); return kept in grounds ? kept : "system"; } catch { return "system"; } };
  let choice = read();
  const scheme = () => (choice === "system" ? (system.matches ? "dark" : "light") : choice);
  const list = new EventTarget();
  Object.defineProperties(list, { matches: { get: () => scheme() === "dark" }, media: { value: query } });
  window.matchMedia = (asked) => (asked === query ? list : ask(asked));
  const paint = () => {
    const root = document.documentElement;
    root.style.colorScheme = scheme(); root.style.background = grounds[scheme()]; root.dataset.andTheme = choice;
  };
  const change = () => { paint(); list.dispatchEvent(new Event("change")); };
  system.addEventListener("change", () => { if (choice === "system") change(); });
  addEventListener("storage", (e) => { if (e.key === key) { choice = read(); change(); } });  // chosen in another tab
  try { for (const name of Object.keys(localStorage)) if (name.startsWith("stActiveTheme")) localStorage.removeItem(name); } catch { /* none is kept */ }
  window.andTheme = {
    get: () => choice,
    set: (to) => { try { localStorage.setItem(key, to); } catch { /* it holds until the page is left */ } choice = to; change(); },
  };
  paint();
})();
