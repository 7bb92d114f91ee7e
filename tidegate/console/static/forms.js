// Short addresses for filters, one sending for each form, and words that can be copied.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement)) {
    return;
  }
  if (form.method === "get") {
    for (const field of form.elements) {
      if ("value" in field && field.value === "" && field.name) {
        field.disabled = true;
      }
    }
  } else if (form.dataset.sent !== undefined) {
    event.preventDefault();
  } else {
    form.dataset.sent = "";
  }
});

// A page that comes back out of the browser's memory may be sent again.
window.addEventListener("pageshow", () => {
  for (const form of document.forms) {
    delete form.dataset.sent;
    for (const field of form.elements) {
      if (form.method === "get") {
        field.disabled = false;
      }
    }
  }
});

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-copies]") : null;
  if (button === null) {
    return;
  }
  const source = document.getElementById(button.dataset.copies);
  const text = source instanceof HTMLInputElement ? source.value : (source?.textContent ?? "");
  try {
    await navigator.clipboard.writeText(text.trim());
    button.textContent = "Copied";
  } catch {
    // Without HTTPS there is no clipboard: it is selected, to be copied by hand.
    if (source !== null) {
      getSelection()?.selectAllChildren(source);
    }
  }
});
