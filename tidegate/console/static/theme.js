// Before anything is drawn: light or dark, if somebody chose.
try {
  const chosen = localStorage.getItem("tidegate-theme");
  if (chosen === "light" || chosen === "dark") {
    document.documentElement.dataset.theme = chosen;
  }
} catch {
  // Without storage it is as the system has it.
}
