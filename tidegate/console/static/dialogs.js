// A button with `data-opens="ID"` opens the dialog of that id; `data-closes` closes the one it is in.
document.addEventListener("click", (event) => {
  const target = event.target;
  if (!(target instanceof Element)) {
    return;
  }
  const opener = target.closest("[data-opens]");
  if (opener !== null) {
    document.getElementById(opener.dataset.opens)?.showModal();
  } else if (target.closest("[data-closes]") !== null) {
    target.closest("dialog")?.close();
  } else if (target instanceof HTMLDialogElement) {
    // Only the backdrop is the dialog itself; everything inside has elements of its own.
    const box = target.getBoundingClientRect();
    const inside =
      event.clientX >= box.left && event.clientX <= box.right &&
      event.clientY >= box.top && event.clientY <= box.bottom;
    if (!inside) {
      target.close();
    }
  }
});
