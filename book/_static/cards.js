/* Cards beside links: what a term means, what a citation is, what stands in a section, a figure or
   an exercise. They open on hover and on focus; a tap opens the card, a second one follows the link.
   Escape closes. What is on them comes with one script, when it is first asked for. */
(function () {
  "use strict";
  const LINKS = "article a.reference.internal:not(.headerlink, nav a, .toctree-wrapper a)";
  const SOON = 180, LATE = 250; // milliseconds before a card opens, and before it closes
  const here = document.currentScript;
  const data = new URL("cards-data.js", here.src).href;
  const root = new URL("..", here.src).href;
  let loading, card, shown, timer, touched = false, opened = 0;

  function load() {
    loading ||= new Promise((done) => {
      const script = document.createElement("script");
      script.src = data;
      script.onload = script.onerror = () => done(window.companionCards || {});
      document.head.append(script);
    });
    return loading;
  }

  function key(link) {
    return link.href.startsWith(root) ? decodeURI(link.href.slice(root.length)) : "";
  }

  function linkOf(event) {
    return event.target.closest ? event.target.closest(LINKS) : null;
  }

  function make() {
    card = document.createElement("div");
    card.className = "link-card";
    card.id = "link-card";
    card.setAttribute("role", "tooltip");
    card.hidden = true;
    (document.querySelector("[role=main]") || document.body).append(card);
    card.addEventListener("pointerenter", () => clearTimeout(timer));
    card.addEventListener("pointerleave", () => later(close, LATE));
  }

  function place(link) {
    const edge = 8;
    card.style.left = card.style.top = "0"; // as wide as it wants to be
    const at = link.getClientRects()[0];
    const width = document.documentElement.clientWidth;
    const parent = card.offsetParent || document.body;
    const origin = parent.getBoundingClientRect();
    const size = card.getBoundingClientRect();
    const left = Math.max(edge, Math.min(at.left, width - size.width - edge));
    const below = at.bottom + size.height + edge < window.innerHeight || at.top < size.height;
    const top = below ? at.bottom + 4 : at.top - size.height - 4;
    card.style.left = `${left - origin.left + parent.scrollLeft}px`;
    card.style.top = `${top - origin.top + parent.scrollTop}px`;
  }

  function later(action, wait) {
    clearTimeout(timer);
    timer = setTimeout(action, wait);
  }

  function close() {
    clearTimeout(timer);
    if (shown) shown.removeAttribute("aria-describedby");
    shown = null;
    if (card) card.hidden = true;
  }

  async function open(link) {
    const cards = await load();
    const text = cards[key(link)];
    if (!text || !link.isConnected) return false;
    if (!card) make();
    close();
    card.innerHTML = text;
    card.hidden = false;
    shown = link;
    opened = performance.now();
    link.setAttribute("aria-describedby", card.id);
    place(link);
    return true;
  }

  document.addEventListener("pointerover", (event) => {
    const link = event.pointerType === "touch" ? null : linkOf(event);
    if (link && link !== shown) later(() => open(link), SOON);
    else if (link) clearTimeout(timer);
  });
  document.addEventListener("pointerout", (event) => {
    if (event.pointerType !== "touch" && linkOf(event)) later(close, LATE);
  });
  document.addEventListener("focusin", (event) => {
    const link = linkOf(event);
    if (link && link.matches(":focus-visible")) open(link);
  });
  document.addEventListener("focusout", (event) => {
    if (linkOf(event) === shown) close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  document.addEventListener("pointerdown", (event) => {
    touched = event.pointerType === "touch";
    if (card && !card.contains(event.target) && linkOf(event) !== shown) close();
  }, true);
  document.addEventListener("click", (event) => {
    const link = linkOf(event);
    if (!link || !touched || event.ctrlKey || event.metaKey) return;
    if (link === shown && performance.now() - opened > 300) return; // the second tap
    event.preventDefault();
    if (link !== shown) open(link).then((there) => { if (!there) location.href = link.href; });
  });
  addEventListener("resize", close);
})();
