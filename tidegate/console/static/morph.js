// Makes `old` like `fresh` by changing as little as possible, so that focus, scrolling, opened
// details and whatever is typed stay. Elements with an id are found again by it.

const KEPT = new Set(["open", "data-sent"]);

export function morph(old, fresh) {
  attributes(old, fresh);
  children(old, fresh);
}

function attributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !KEPT.has(name)) {
      old.removeAttribute(name);
    }
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !KEPT.has(name)) {
      old.setAttribute(name, value);
    }
  }
}

function alike(old, fresh) {
  return old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName &&
    (old.id ?? "") === (fresh.id ?? "");
}

function children(old, fresh) {
  let place = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    let found = place;
    if (wanted.nodeType === Node.ELEMENT_NODE && wanted.id !== "") {
      found = [...old.children].find((child) => child.id === wanted.id) ?? place;
    }
    if (found !== null && alike(found, wanted)) {
      if (found === place) {
        place = place.nextSibling;
      } else {
        old.insertBefore(found, place);
      }
      if (wanted.nodeType === Node.ELEMENT_NODE) {
        morph(found, wanted);
      } else if (found.nodeValue !== wanted.nodeValue) {
        found.nodeValue = wanted.nodeValue;
      }
    } else {
      old.insertBefore(document.importNode(wanted, true), place);
    }
  }
  while (place !== null) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}
