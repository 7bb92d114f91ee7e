// The button `data-theme-button` goes from what is shown to the other one, and remembers it.
const root = document.documentElement;
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function shown() {
  return root.dataset.theme ?? (dark.matches ? "dark" : "light");
}

function name(button) {
  button.setAttribute("aria-label", shown() === "dark" ? "Use light colours" : "Use dark colours");
  button.setAttribute("aria-pressed", String(shown() === "dark"));
}

for (const button of document.querySelectorAll("[data-theme-button]")) {
  name(button);
  dark.addEventListener("change", () => name(button));
  button.addEventListener("click", () => {
    root.dataset.theme = shown() === "dark" ? "light" : "dark";
    name(button);
    try {
      localStorage.setItem("tidegate-theme", root.dataset.theme);
    } catch {
      // It lasts as long as the page, then.
    }
  });
}
